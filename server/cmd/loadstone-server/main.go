// Loadstone-server serves one model over the OpenAI and Anthropic APIs. Run it with -h for its
// flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"loadstone/internal/otlp"
	"loadstone/server/service"
)

func main() {
	program := service.Program{Export: otlp.ServerSpans}
	if err := program.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "loadstone-server:", err)
		if _, ok := errors.AsType[*service.UsageError](err); ok {
			os.Exit(2)
		}
		os.Exit(1)
	}
}
