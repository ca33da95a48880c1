//go:build mlx

package metal

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// MLX keeps its default stream, and the worker behind it, per operating system thread, and refuses
// to evaluate a graph on a thread other than its own. So one goroutine, locked to one thread for
// the life of the process, makes every call into the bridge, but for those that only move bytes of
// a cache (Model.onCache), and the rest of the package hands it jobs. For the same reason a Model
// may be closed while another goroutine is inside Step.
var thread struct {
	once sync.Once
	jobs chan func()
	err  error // the reason why MLX cannot be used; set before the first job runs
}

// onThread runs f on the MLX thread and waits for it. A panic in f continues in the caller, with
// the stack of the MLX thread in its text.
func onThread(f func() error) (err error) {
	thread.once.Do(func() {
		thread.jobs = make(chan func())
		go func() {
			runtime.LockOSThread() // never unlocked: the thread goes with the goroutine
			thread.err = initialize()
			for job := range thread.jobs {
				job()
			}
		}()
	})
	var panicked any
	done := make(chan struct{})
	thread.jobs <- func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				panicked = fmt.Sprintf("%v\n\non the MLX thread:\n%s", p, debug.Stack())
			}
		}()
		if err = thread.err; err == nil {
			err = f()
		}
	}
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return err
}
