package world

import "sync"

// An idle holds what plays episodes and has none to play: instances, or processes.
type idle[T any] struct {
	mu  sync.Mutex
	all []T
}

// take returns one that the caller has to itself from then on; false: there is none.
func (i *idle[T]) take() (x T, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.all)
	if n == 0 {
		return x, false
	}
	x, i.all = i.all[n-1], i.all[:n-1]
	return x, true
}

// put gives one back.
func (i *idle[T]) put(x T) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, x)
}
