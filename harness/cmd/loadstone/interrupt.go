package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"loadstone/harness/proc"
)

// interruptible returns a context that Ctrl-C and SIGTERM end, and a terminal that is closed unless nohup keeps that away.
// A second signal says that even ending takes too long: it ends the program at once, with the servers that startServer has
// started under the context.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, wanted...)
	own := &servers{}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, serversKey{}, own))
	over := make(chan struct{})
	go func() {
		for _, act := range []func(){cancel, func() { own.kill(); os.Exit(exitInterrupted) }} {
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

// serversKey is where interruptible keeps the servers in its context.
type serversKey struct{}

// servers are those to take down with the program. Each is in a process group of its own, so the terminal's Ctrl-C does not
// reach it.
type servers struct {
	mu  sync.Mutex
	all []*proc.Process
}

func (s *servers) kill() {
	s.mu.Lock() // for good: none may start any more
	for _, p := range s.all {
		p.Kill()
	}
}

// startServer starts a server that a second signal takes down with the program.
func startServer(ctx context.Context, log io.Writer, command string, args ...string) (*proc.Process, error) {
	p, err := proc.Start(ctx, log, command, args...)
	if own, ok := ctx.Value(serversKey{}).(*servers); ok && err == nil {
		own.mu.Lock()
		defer own.mu.Unlock()
		own.all = append(own.all, p)
	}
	return p, err
}
