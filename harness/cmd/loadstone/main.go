// Loadstone measures the latency of LLM inference servers under load, and serves one itself. Run it
// with help.
package main

import "loadstone/harness/command"

func main() { command.Main() }
