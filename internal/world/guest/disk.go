package main

import (
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"loadstone/internal/files/filestest"
	"loadstone/internal/world/script"
)

// A diskFault is some calls of the disk that fail.
type diskFault struct {
	op    string // "any", or that of filestest without spaces
	do    string
	after int // calls that go well before
	times int
}

func newDiskFault(a script.Args) *diskFault {
	return &diskFault{a.Get("op"), a.Get("error"), a.Int("after"), max(a.Int("times"), 1)}
}

// slowCall is how long a call takes of a disk that hangs for a while.
const slowCall = 15 * time.Second

// disk is called before every call of the disk, and returns its error.
func (w *world) disk(op filestest.Op, path string) error {
	w.calls++
	if op.Changes() {
		w.log("disk", "%s %s", op, shortName(path))
	}
	if w.diskLag > 0 && w.dice.one(4) {
		time.Sleep(time.Duration(w.dice.Int64N(int64(w.diskLag))))
	}
	for i, f := range w.diskFaults {
		if f.op != "any" && f.op != strings.ReplaceAll(string(op), " directory", "dir") {
			continue
		}
		if f.after--; f.after >= 0 {
			continue
		}
		if f.times--; f.times <= 0 {
			w.diskFaults = append(w.diskFaults[:i:i], w.diskFaults[i+1:]...)
		}
		return w.failDisk(f.do, op, path)
	}
	return nil
}

func (w *world) failDisk(do string, op filestest.Op, path string) error {
	w.faults++
	w.log("disk", "fault: %s %s %s", do, op, shortName(path))
	var err error
	switch {
	case do == "slow":
		time.Sleep(slowCall)
		return nil
	case do == "short" && op == filestest.Write:
		err = io.ErrShortWrite
	case do == "enospc" && op.Changes():
		err = syscall.ENOSPC
		w.doubt((*agent).evictable) // memories are deleted to make room
	default:
		err = syscall.EIO
	}
	w.diskErrors++
	if op == filestest.Remove {
		w.removeErrors++
	}
	w.diskErrorAt = time.Now()
	if !op.Changes() {
		w.doubt((*agent).unseen)
	}
	return err
}

// rot changes a bit of a file.
func (w *world) rot(bit int) {
	names := w.sim.Names(memories)
	for i := range names {
		name := names[(i+bit)%len(names)]
		if strings.HasSuffix(name, ".memory") && w.sim.Flip(filepath.Join(memories, name), bit) {
			w.faults++
			w.rots++
			w.log("disk", "rot: bit %d of %s", bit, shortName(name))
			w.doubt((*agent).rot)
			return
		}
	}
}

// shortName is what the log says of a file: names are digests.
func shortName(path string) string {
	base := filepath.Base(path)
	if dot := strings.IndexByte(base, '.'); dot > 6 {
		base = base[:6] + base[dot:]
	}
	return base
}
