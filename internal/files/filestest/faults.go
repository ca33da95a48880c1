package filestest

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A Fault is what happens to one call of a file system.
type Fault string

// The faults. After a loss of power all further calls fail.
const (
	NoFault    Fault = ""
	EIO        Fault = "EIO"
	ENOSPC     Fault = "ENOSPC"
	ShortWrite Fault = "short write"
	PowerLoss  Fault = "power loss"
)

// AllFaults lists the faults.
var AllFaults = []Fault{EIO, ENOSPC, ShortWrite, PowerLoss}

// Faults has certain calls of a Tap fail. Its method Before is the Tap's.
type Faults struct {
	At    map[int]Fault // by number of the call, from 1
	Calls int           // so far
	Named []string      // of each call: what it does, and where
	Dead  bool          // the power is gone
	Full  bool          // the disk was full once
}

// Before counts a call and returns its fault.
func (f *Faults) Before(op Op, path string) error {
	if f.Dead {
		return ErrPower
	}
	f.Calls++
	f.Named = append(f.Named, fmt.Sprintf("%s %s", op, filepath.Base(path)))
	switch f.At[f.Calls] {
	case EIO:
		return syscall.EIO
	case ENOSPC:
		if op.Changes() {
			f.Full = true
			return syscall.ENOSPC
		}
	case ShortWrite:
		if op == Write {
			return io.ErrShortWrite
		}
	case PowerLoss:
		f.Dead = true
		return ErrPower
	}
	return nil
}

// String says which faults there were and at which calls.
func (f *Faults) String() string {
	var where []string
	for _, n := range slices.Sorted(maps.Keys(f.At)) {
		call := "not reached"
		if n <= len(f.Named) {
			call = f.Named[n-1]
		}
		where = append(where, fmt.Sprintf("%s at call %d (%s)", f.At[n], n, call))
	}
	return strings.Join(where, ", ")
}
