package main

import _ "unsafe" // for linkname

// episode plays an episode. The runtime and the packages have started long before, and perhaps for
// others as well, so the random numbers of this one begin here. It returns the addresses between
// which memory may have been written, the first in the upper half.
//
//go:wasmexport episode
func episode() uint64 {
	reseed()
	main()
	from, to := written()
	return uint64(from)<<32 | uint64(to)
}

// These are in the runtime that package world builds the guest with.

//go:linkname reseed runtime.worldReseed
func reseed()

//go:linkname written runtime.worldWritten
func written() (from, to uintptr)
