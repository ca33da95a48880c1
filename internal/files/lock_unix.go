//go:build unix

package files

import (
	"fmt"
	"os"
	"syscall"
)

// Locks says whether OS.Lock locks anything.
const Locks = true

// Lock holds the lock until unlock is called or the process ends, however it ends.
func (OS) Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return func() { f.Close() }, nil
}
