//go:build wasip1 || world

package main

import _ "unsafe" // for linkname

// reseed is in the runtime that package world builds the guest with.
//
//go:linkname reseed runtime.worldReseed
func reseed()
