package filestest

import (
	"sync"

	"loadstone/internal/files"
)

// A Process is a file system as one of several processes sees it that use the same one. A test can
// stop it, as SIGSTOP does, and kill it.
type Process struct {
	*Tap

	mu            sync.Mutex
	changed       sync.Cond // one of the next two
	stopped, dead bool
	locks         map[*lock]bool // that are held
	calls         int
	stopAt        int // the call before which it is stopped; 0: none
}

type lock struct{ unlock func() }

// NewProcess returns a process that uses sys.
func NewProcess(sys files.System) *Process {
	p := &Process{locks: make(map[*lock]bool)}
	p.Tap = &Tap{System: sys, Before: p.before}
	p.changed.L = &p.mu
	return p
}

func (p *Process) before(Op, string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.stopped = p.stopped || p.calls == p.stopAt
	for p.stopped && !p.dead {
		p.changed.Wait()
	}
	if p.dead {
		return ErrPower
	}
	return nil
}

// Lock holds the lock until unlock is called or the process is killed.
func (p *Process) Lock(path string) (unlock func(), err error) {
	free, err := p.Tap.Lock(path)
	if err != nil {
		return nil, err
	}
	l := &lock{free}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		free()
		return nil, ErrPower
	}
	p.locks[l] = true
	return func() { p.unlock(l) }, nil
}

func (p *Process) unlock(l *lock) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.locks[l] {
		delete(p.locks, l)
		l.unlock()
	}
}

// Stop has every further call wait for Resume.
func (p *Process) Stop() { p.set(true, false) }

// StopAt stops the process before its n-th call from now on.
func (p *Process) StopAt(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopAt = p.calls + n
}

// Resume ends a Stop, and forgets a StopAt.
func (p *Process) Resume() { p.set(false, false) }

// Stopped reports whether the process has been stopped.
func (p *Process) Stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// Kill frees the locks and has every further call fail.
func (p *Process) Kill() { p.set(false, true) }

func (p *Process) set(stopped, dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped, p.dead, p.stopAt = stopped, p.dead || dead, 0
	if p.dead {
		for l := range p.locks {
			l.unlock()
		}
		clear(p.locks)
	}
	p.changed.Broadcast()
}
