package objectstest

import (
	"context"
	"errors"
	"sync"
	"time"

	"loadstone/internal/objects"
)

// A Fault is what happens to one operation on a bucket.
type Fault string

const (
	NoFault Fault = ""
	Fails   Fault = "fails"       // at once, and nothing was done
	Lost    Fault = "answer lost" // it was done, and fails after the limit of time
	Late    Fault = "late"        // it fails after the limit of time, and is done after a while
	Silent  Fault = "silent"      // it was not done, and fails after the limit of time
)

// AllFaults lists the faults.
var AllFaults = []Fault{Fails, Lost, Late, Silent}

// late is how long after its operation has failed a late one is done.
const late = 20 * time.Second

var (
	errFault = errors.New("the bucket fails, says a test")
	errDead  = errors.New("the process has ended, says a test")
)

// A Process is a bucket as one of several processes sees it that use the same one. A test can stop
// it, as SIGSTOP does, kill it, and have some of its operations fail.
type Process struct {
	objects.Bucket

	mu            sync.Mutex
	changed       sync.Cond
	stopped, dead bool
	calls         int
	stopAt        int           // the call before which it is stopped; 0: none
	faults        map[int]Fault // by number of the call
	away          bool
	after         sync.WaitGroup // operations that are late
}

// NewProcess returns a process that uses b.
func NewProcess(b objects.Bucket) *Process {
	p := &Process{Bucket: b, faults: map[int]Fault{}}
	p.changed.L = &p.mu
	return p
}

func (p *Process) before() (Fault, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.stopped = p.stopped || p.calls == p.stopAt
	fault := p.faults[p.calls]
	if p.away {
		fault = Silent
	}
	for p.stopped && !p.dead {
		p.changed.Wait()
	}
	if p.dead {
		return NoFault, errDead
	}
	return fault, nil
}

// call carries out an operation, or has it fail.
func (p *Process) call(ctx context.Context, op func(context.Context) error) error {
	fault, err := p.before()
	if err != nil {
		return err
	}
	switch fault {
	case NoFault:
		return op(ctx)
	case Fails:
		return errFault
	case Lost:
		op(ctx)
	case Late:
		p.after.Go(func() {
			<-ctx.Done()
			time.Sleep(late)
			op(context.WithoutCancel(ctx))
		})
	}
	<-ctx.Done()
	return ctx.Err()
}

func (p *Process) Get(ctx context.Context, name string) (data []byte, version string, err error) {
	err = p.call(ctx, func(ctx context.Context) (err error) {
		data, version, err = p.Bucket.Get(ctx, name)
		return err
	})
	return data, version, err
}

func (p *Process) Put(ctx context.Context, name string, data []byte, was string) (string, error) {
	version := ""
	err := p.call(ctx, func(ctx context.Context) error {
		v, err := p.Bucket.Put(ctx, name, data, was)
		if ctx.Err() == nil {
			version = v
		}
		return err
	})
	return version, err
}

func (p *Process) Delete(ctx context.Context, name, was string) error {
	return p.call(ctx, func(ctx context.Context) error { return p.Bucket.Delete(ctx, name, was) })
}

func (p *Process) List(ctx context.Context, prefix string, f func(objects.Object) error) error {
	return p.call(ctx, func(ctx context.Context) error { return p.Bucket.List(ctx, prefix, f) })
}

// Stop has every further call wait for Resume.
func (p *Process) Stop() { p.set(true, false) }

// StopAt stops the process before its n-th call from now on.
func (p *Process) StopAt(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopAt = p.calls + n
}

// FailAt has the n-th call from now on have a fault.
func (p *Process) FailAt(n int, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[p.calls+n] = f
}

// Away has all calls go without an answer, or no longer.
func (p *Process) Away(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// Calls returns how many calls there were.
func (p *Process) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Resume ends a Stop, and forgets a StopAt.
func (p *Process) Resume() { p.set(false, false) }

// Stopped reports whether the process has been stopped.
func (p *Process) Stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// Kill has every further call fail.
func (p *Process) Kill() { p.set(false, true) }

// Settle waits until all late operations are done.
func (p *Process) Settle() { p.after.Wait() }

func (p *Process) set(stopped, dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped, p.dead, p.stopAt = stopped, p.dead || dead, 0
	p.changed.Broadcast()
}
