package command

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// interruptible returns a context that ends at Ctrl-C, at SIGTERM, and when the terminal is closed,
// unless nohup keeps that signal away. A second signal, a second later or more, says that even
// ending takes too long: it ends the program at once, and the servers that it started follow it.
// One that comes sooner is the first once more: a terminal, a wrapper and a service manager may
// each send one, milliseconds apart.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	const patience = time.Second
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, wanted...)
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-signals:
			case <-over:
				return
			}
			switch {
			case first.IsZero():
				first = time.Now()
				cancel()
			case time.Since(first) >= patience:
				os.Exit(exitInterrupted)
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
		cancel()
	})
}
