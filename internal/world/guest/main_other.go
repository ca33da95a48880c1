//go:build !wasip1 && !world

package main

import "os"

func main() { episode(os.Stdin) }
