package main

import (
	"os"
	_ "unsafe" // for linkname
)

func main() {} // for go build

// play plays an episode. The runtime and the packages have started long before, and perhaps for
// others as well, so the random numbers of this one begin here. It returns the addresses between
// which memory may have been written, the first in the upper half.
//
//go:wasmexport episode
func play() uint64 {
	reseed()
	episode(os.Stdin)
	from, to := written()
	return uint64(from)<<32 | uint64(to)
}

// written is in the runtime that package world builds the guest with.
//
//go:linkname written runtime.worldWritten
func written() (from, to uintptr)
