package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"loadstone/harness/proc"
)

// killOnSecond takes a server that we started down with us when, after the signal that ended ctx, a second one says that
// even ending takes too long. The server is in a process group of its own, so the terminal's Ctrl-C does not reach it.
func killOnSecond(ctx context.Context, p *proc.Process) {
	context.AfterFunc(ctx, func() {
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(again)
		select {
		case <-again:
			p.Kill()
			os.Exit(exitInterrupted)
		case <-p.Exited():
		}
	})
}
