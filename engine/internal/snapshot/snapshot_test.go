package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
)

// small is the header of snapshots of a model without sliding layers.
var small = Header{Fingerprint: "fake", Shape: kv.Shape{BlockTokens: 4, GlobalBytes: 1}}

// sliding is that of one with them: four blocks are in the window at the end, and two before it are
// stored once more.
var sliding = Header{Fingerprint: "fake", Tokens: 38, Uncomputed: 1, Earlier: 2,
	Shape: kv.Shape{BlockTokens: 4, Window: 9, GlobalBytes: 1, SlidingBytes: 1}}

// complete returns a snapshot whose chunks are filled with what fill returns for their numbers.
func complete(h Header, fill func(i int) byte) *Snapshot {
	tokens := make([]int32, h.Tokens+h.Uncomputed)
	for i := range tokens {
		tokens[i] = int32(i + 1)
	}
	s := newSnapshot(h, tokens)
	for i := range h.Chunks() {
		s.Set(i, bytes.Repeat([]byte{fill(i)}, h.ChunkBytes(i)))
	}
	return s
}

func (h Header) of(agent string, tokens int) Header {
	h.Agent, h.Tokens = named(agent), tokens
	return h
}

// named returns the agent of a store with one principal.
func named(agent string) kv.Agent { return kv.Agent{Name: agent} }

// alone is for an import into a store that no other shares.
func alone(kv.Agent) error { return nil }

func open(t *testing.T, dir string, match Header, quota int64, ttl time.Duration) *Store {
	t.Helper()
	return openOn(t, files.OS{}, dir, match, quota, ttl)
}

func openOn(
	t *testing.T, sys files.System, dir string, match Header, quota int64, ttl time.Duration,
) *Store {
	t.Helper()
	s, err := OpenStore(sys, dir, match, quota, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every bit of a file matters, and so does its length: a file is used only as it was written.
func TestDamage(t *testing.T) {
	for name, h := range map[string]Header{
		"without sliding layers": small.of("ann", 21),
		"with sliding layers":    sliding.of("ann", sliding.Tokens),
	} {
		t.Run(name, func(t *testing.T) {
			var good bytes.Buffer
			if err := complete(h, func(i int) byte { return byte(i) }).write(&good); err != nil {
				t.Fatal(err)
			}
			damage(t, good.Bytes(), h)
		})
	}
}

// damage changes a file in many ways, each of which is found by reading all of it.
func damage(t *testing.T, good []byte, match Header) {
	t.Helper()
	read := func(data []byte) error {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName(named("ann"))), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, match, 1<<20, 0)
		defer s.Close()
		m, err := s.Open(named("ann"))
		if err != nil {
			return err
		}
		defer m.Close()
		for i := range m.sums {
			_, e := m.Chunk(i, make([]byte, m.header.ChunkBytes(i)))
			err = errors.Join(err, e)
		}
		return err
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	try := func(name string, data []byte) {
		if read(data) == nil {
			t.Errorf("%s: not found", name)
		}
	}
	for i := range good {
		for bit := range 8 {
			if bit != i%8 && i%16 != 0 { // one bit of each byte, and all bits of some
				continue
			}
			bad := slices.Clone(good)
			bad[i] ^= 1 << bit
			try(fmt.Sprintf("bit %d of byte %d", bit, i), bad)
		}
		if i%7 == 0 {
			try(fmt.Sprintf("cut at %d", i), good[:i])
		}
	}
	try("one byte more", append(slices.Clone(good), 0))
}

// TestQuota is the order of eviction from the disk, as a trace: each line is an operation and the
// agents that have a memory after it.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := func(agent string) *Snapshot {
			h := small.of(agent, 4)
			h.Created, h.Saved = time.Unix(0, 0), time.Unix(0, 0)
			return complete(h, func(int) byte { return 1 })
		}
		h := of("a").header
		unit := h.fileBytes(len(h.encode()))
		s := open(t, t.TempDir(), small, 3*unit, 10*time.Hour)
		defer s.Close()
		const trace = `save a: a
save b: a b
save c: a b c
touch a: a b c
save d: a c d
pin c: a c d
save e: c d e
save f: c e f
pin e: c e f
pin f: c e f
save g: refused; c e f
unpin e: c e f
wait: c f
save h: c f h
`
		var got strings.Builder
		for line := range strings.Lines(trace) {
			op, _, _ := strings.Cut(line, ":")
			verb, agent, _ := strings.Cut(op, " ")
			time.Sleep(time.Second)
			var err error
			switch verb {
			case "save":
				err = s.save(of(agent))
			case "touch":
				s.Touch(named(agent))
			case "pin", "unpin":
				err = s.Pin(named(agent), verb == "pin")
			case "wait":
				time.Sleep(11 * time.Hour)
			}
			fmt.Fprintf(&got, "%s:", op)
			if err != nil {
				got.WriteString(" refused;")
			}
			for _, a := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				if _, ok := s.Find(named(a)); ok {
					got.WriteString(" " + a)
				}
			}
			got.WriteByte('\n')
		}
		if got.String() != trace {
			t.Errorf("got\n%swant\n%s", got.String(), trace)
		}
		if !s.Evicted(named("b")) || !s.Evicted(named("e")) || s.Evicted(named("c")) {
			t.Error("the store does not know which agents' memories were evicted")
		}
	})
}

// The account of unsaved bytes follows a snapshot from its beginning to its end, whatever that is.
func TestUnsavedBytes(t *testing.T) {
	s := open(t, t.TempDir(), sliding, 1<<20, 0)
	defer s.Close()
	written := 0
	w := NewWriter(s, 100, func() { written++ })
	h := sliding.of("ann", 38)
	tokens := make([]int32, 39)
	want := func(when string, n int64) {
		t.Helper()
		if got := w.Stats().Unsaved; got != n {
			t.Errorf("%s %d bytes are unsaved, want %d", when, got, n)
		}
	}
	begun := func() *Snapshot {
		one := w.Begin(h, tokens, false)
		if one == nil {
			t.Fatal("there is no room")
		}
		return one
	}
	first := begun()
	want("begun,", 38+10+2*8)
	w.Shorten(first, 1)
	want("shortened,", 38+10+8)
	if w.Begin(h, tokens, false) != nil {
		t.Error("there was room for twice as much as there may be")
	}
	for i := range first.header.Chunks() {
		first.Set(i, make([]byte, first.header.ChunkBytes(i)))
	}
	w.Put(first)
	second := w.Begin(h, tokens, true)
	want("handed over, and an urgent one begun,", 56+64)
	w.Discard(second, ErrSuperseded)
	want("one discarded,", 56)
	if !w.Step() || first.err != nil || written != 1 {
		t.Errorf("not written: %v", first.err)
	}
	want("written,", 0)
	if st := w.Stats(); st.Saves != 1 || st.Bytes != 56 {
		t.Errorf("counted %+v", st)
	}
}

// TestFullDisk is what goes when not the quota but the disk is full: first what is of no use, then
// the least recently used memories, as many as one file needs, and none that is pinned. When others
// take the room as fast as it is made, the rest is spared.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := func(agent string) *Snapshot {
			h := small.of(agent, 4)
			h.Created, h.Saved = time.Unix(0, 0), time.Unix(0, 0)
			return complete(h, func(int) byte { return 1 })
		}
		h := of("a").header
		unit := h.fileBytes(len(h.encode()))
		dir := t.TempDir()
		tap := &filestest.Tap{System: files.OS{}}
		s := openOn(t, tap, dir, small, 1<<20, 0)
		defer s.Close()
		bad := filepath.Join(dir, "x.corrupt.bad")
		disk, thief := 4, 0 // files that fit; rooms that others take
		tap.Before = func(op filestest.Op, _ string) error {
			files, _ := filepath.Glob(filepath.Join(dir, "*.memory"))
			if _, err := os.Stat(bad); err == nil {
				files = append(files, bad)
			}
			if op != filestest.Write || len(files) < disk {
				return nil
			}
			if thief > 0 {
				thief--
				disk--
			}
			return syscall.ENOSPC
		}
		const trace = `save a: a
save b: a b
save c: a b c
quarantine x: a b c
save d: a b c d
touch a: a b c d
save e: a c d e
save e: a d e
pin a: a d e
pin d: a d e
save f: a d e f
pin e: a d e f
pin f: a d e f
save g: refused; a d e f
unpin e: a d e f
save h: a d f h
unpin a: a d f h
steal h: a d f h
save i: refused; d f
`
		var got strings.Builder
		for line := range strings.Lines(trace) {
			op, _, _ := strings.Cut(line, ":")
			verb, agent, _ := strings.Cut(op, " ")
			time.Sleep(time.Second)
			var err error
			switch verb {
			case "save":
				err = s.save(of(agent))
			case "touch":
				s.Touch(named(agent))
			case "pin", "unpin":
				err = s.Pin(named(agent), verb == "pin")
			case "quarantine":
				err = os.WriteFile(bad, make([]byte, unit), 0o600)
			case "steal":
				thief = 100
			}
			fmt.Fprintf(&got, "%s:", op)
			if err != nil {
				got.WriteString(" refused;")
				if !errors.Is(err, ErrDiskFull) || FailureOf(err) != FailedDiskFull {
					t.Errorf("%s: %v", op, err)
				}
			}
			for _, a := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
				if _, ok := s.Find(named(a)); ok {
					got.WriteString(" " + a)
				}
			}
			got.WriteByte('\n')
		}
		if got.String() != trace {
			t.Errorf("got\n%swant\n%s", got.String(), trace)
		}
		if !s.Evicted(named("b")) || s.Evicted(named("g")) {
			t.Error("the store does not know which agents' memories were evicted")
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// BenchmarkSave measures a save of 1 and of 32 MiB, and the same without syncs.
func BenchmarkSave(b *testing.B) {
	for _, mib := range []int{1, 32} {
		for _, synced := range []bool{true, false} {
			b.Run(fmt.Sprintf("MiB=%d/sync=%v", mib, synced), func(b *testing.B) {
				h := Header{Agent: named("ann"), Tokens: mib << 5,
					Shape: kv.Shape{BlockTokens: 32, GlobalBytes: 1 << 15}}
				snap := complete(h, func(i int) byte { return byte(i) })
				var sys files.System = files.OS{}
				if !synced {
					sys = filestest.Unsynced(sys)
				}
				s, err := OpenStore(sys, b.TempDir(), h, 1<<30, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				b.SetBytes(h.KVBytes())
				for b.Loop() {
					if err := s.save(snap); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A file that the disk fails to read at the start is read again a moment later, and a newer memory
// that has taken its place stays, pinned as that was.
func TestReread(t *testing.T) {
	for _, newer := range []bool{false, true} {
		t.Run(fmt.Sprintf("newer=%v", newer), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, fails := filestest.NewSim(), 0
				sys := &filestest.Tap{System: sim.System(), Before: func(op filestest.Op, _ string) error {
					if op == filestest.Open && fails > 0 {
						fails--
						return syscall.EIO
					}
					return nil
				}}
				fill := func(int) byte { return 1 }
				s := openOn(t, sys, "/dir", small, 1<<20, 0)
				if err := errors.Join(s.save(complete(small.of("ann", 9), fill)),
					s.Pin(named("ann"), true)); err != nil {
					t.Fatal(err)
				}
				s.Close()

				fails = 2
				s = openOn(t, sys, "/dir", small, 1<<20, 0)
				defer s.Close()
				if e, ok := s.Find(named("ann")); ok {
					t.Fatalf("the disk has failed, and the store has %+v", e)
				}
				want := 9
				if newer {
					want = 21
					if err := s.save(complete(small.of("ann", want), fill)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(2*minReread + minReread/2)
				synctest.Wait()
				if e, _ := s.Find(named("ann")); e.Header.Tokens != want || !e.Pinned {
					t.Errorf("after a while the store has %+v, want %d tokens, pinned", e, want)
				}
			})
		})
	}
}
