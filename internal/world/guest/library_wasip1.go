package main

import _ "unsafe" // for linkname

// episode plays an episode. The runtime and the packages have started long before, and perhaps for
// others as well, so the random numbers of this one begin here.
//
//go:wasmexport episode
func episode() {
	reseed()
	main()
}

// reseed is in the runtime that package world builds the guest with.
//
//go:linkname reseed runtime.worldReseed
func reseed()
