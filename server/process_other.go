//go:build !unix || world

package server

import "time"

func residentBytes() (int64, bool)   { return 0, false }
func cpuTime() (time.Duration, bool) { return 0, false }
func openFiles() (int, bool)         { return 0, false }
