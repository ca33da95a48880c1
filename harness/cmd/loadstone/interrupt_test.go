package main

import (
	"context"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C, a service manager and a closed terminal all end a measurement the way that still reports.
func TestInterruptible(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) {
			t.Logf("%v is ignored here, as nohup wants it", s)
			continue
		}
		ctx, stop := interruptible(context.Background())
		if err := syscall.Kill(syscall.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Errorf("%v ends nothing", s)
		}
		stop()
	}
}
