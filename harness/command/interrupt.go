package command

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interruptible returns a context that ends at Ctrl-C, at SIGTERM, and when the terminal is closed,
// unless nohup keeps that signal away. A second signal says that even ending takes too long: it
// ends the program at once, and the servers that it started follow it.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, wanted...)
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		for _, act := range []func(){cancel, func() { os.Exit(exitInterrupted) }} {
			select {
			case <-signals:
				act()
			case <-over:
				return
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
		cancel()
	})
}
