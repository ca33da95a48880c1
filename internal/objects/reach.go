package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// A reach carries out operations on a bucket: each within a limit of time, a few times if it fails,
// and none for a while after one that was not answered, so that a bucket that is away costs one
// caller the limit, and not all.
type reach struct {
	limit time.Duration

	mu      sync.Mutex
	until   time.Time // before which none is tried
	why     error
	backoff time.Duration
}

// ErrAway says that the bucket could not be reached, or failed.
var ErrAway = errors.New("the object store cannot be reached, or fails")

const (
	firstRetry = 50 * time.Millisecond
	minBackoff = 250 * time.Millisecond
	tries      = 3
)

// final reports whether an operation's error is an answer, which another try would not change.
func final(err error) bool {
	return err == nil || errors.Is(err, ErrChanged) || errors.Is(err, fs.ErrNotExist)
}

// do carries out an operation. An error that is no answer becomes ErrAway.
func (r *reach) do(op func(context.Context) error) error {
	spent := time.Duration(0)
	for n := 1; ; n++ {
		began := time.Now()
		err := r.once(op)
		if final(err) {
			return err
		}
		if took := time.Since(began); !r.paused(took) {
			spent += took
		}
		if n == tries || spent > r.limit/2 {
			if errors.Is(err, ErrAway) {
				return err
			}
			return fmt.Errorf("%w: %w", ErrAway, err)
		}
		time.Sleep(firstRetry << (2 * (n - 1)))
	}
}

// paused reports whether an operation took so long that not the bucket was slow: this process was
// stopped meanwhile, or its machine slept.
func (r *reach) paused(took time.Duration) bool { return took > r.limit+r.limit/20 }

func (r *reach) once(op func(context.Context) error) error {
	r.mu.Lock()
	until, why := r.until, r.why
	r.mu.Unlock()
	began := time.Now()
	if began.Before(until) {
		return why
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.limit)
	defer cancel()
	err := op(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() == nil || final(err) || r.paused(time.Since(began)) {
		r.backoff = 0
		return err
	}
	r.backoff = min(max(2*r.backoff, minBackoff), r.limit)
	r.until, r.why = time.Now().Add(r.backoff), fmt.Errorf("%w: %w", ErrAway, err)
	return r.why
}
