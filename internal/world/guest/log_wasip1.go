package main

import "unsafe"

// writeLog appends to the event log, which the host keeps: by a call of its own, because a write to
// standard output costs several times as much.
func writeLog(b []byte) { hostLog(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

//go:wasmimport world log
//go:noescape
func hostLog(p unsafe.Pointer, n uint32)
