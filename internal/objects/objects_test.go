package objects_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/internal/files"
	"loadstone/internal/objects"
	"loadstone/internal/objects/buckettest"
	"loadstone/internal/objects/objectstest"
	"loadstone/internal/seal"
)

const term = 15 * time.Second

func system(b objects.Bucket, keys ...*seal.Key) *objects.System {
	return objects.New(b, objects.Options{Fence: "lease", Term: term, Cache: 1 << 20, Keys: keys})
}

func at(name string) string { return objects.Root + "/" + name }

// write writes a file of parts, which it cuts, on a file system that has it in the end.
func write(sys files.System, name string, parts ...string) error {
	return files.Replace(sys, at(name), strings.Split(name, ".")[0]+".*.tmp", func(f files.File) error {
		for i, part := range parts {
			if i > 0 {
				f.(interface{ Cut() }).Cut()
			}
			if _, err := io.WriteString(f, part); err != nil {
				return err
			}
		}
		return nil
	})
}

// begin begins changes of ann's files.
func begin(t *testing.T, s *objects.System, latest bool) files.System {
	t.Helper()
	sys, err := s.Begin(objects.Root, "ann", "ann.lease", latest)
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

func read(t *testing.T, sys files.System, name string) string {
	t.Helper()
	data, err := files.ReadFile(sys, at(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The bucket that tests use is held to the same contract as the real ones.
func TestMemory(t *testing.T) {
	b := objectstest.NewMemory()
	buckettest.Test(t, func(*testing.T) objects.Bucket { return b })
}

// A system that has begun before another one changed the fence can change nothing, by no call and
// in no order. The system that has changed the fence goes on.
func TestFence(t *testing.T) {
	b := objectstest.NewMemory()
	a, c := system(b), system(b)
	mine := begin(t, a, true)
	if err := errors.Join(write(mine, "ann.lease", "a"), write(mine, "ann.memory", "head", "one", "two"),
		mine.Mark(at("ann.pin"))); err != nil {
		t.Fatal(err)
	}
	late := begin(t, a, false)
	theirs := begin(t, c, true)
	if err := write(theirs, "ann.lease", "c"); err != nil {
		t.Fatal(err)
	}
	for i, err := range []error{write(late, "ann.memory", "late"), write(mine, "ann.memory", "later"),
		mine.Remove(at("ann.pin")), mine.Mark(at("ann.durable")), write(late, "ann.lease", "a"),
		mine.Rename(at("ann.memory"), at("ann.corrupt.bad"))} {
		if !errors.Is(err, files.ErrFenced) {
			t.Errorf("change %d behind another's fence: %v", i, err)
		}
	}
	if err := write(theirs, "ann.memory", "head", "one", "three"); err != nil {
		t.Error(err)
	}
	for _, sys := range []files.System{a, c, begin(t, a, false)} {
		if got := read(t, sys, "ann.memory"); got != "headonethree" {
			t.Errorf("the memory is %q", got)
		}
	}
	if got := read(t, a, "ann.lease") + read(t, a, "ann.durable"); got != "cnone" {
		t.Errorf("the lease and a mark: %q", got)
	}
	if n := len(b.Names("chunks/")); n != 3 {
		t.Errorf("%d chunks of three contents", n)
	}
}

// A file reads alike in portions of any size, from any place; with a key nothing of it is in the
// bucket.
func TestFile(t *testing.T) {
	key, err := seal.NewKey(bytes.Repeat([]byte{7}, seal.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]*seal.Key{nil, {key}} {
		b := objectstest.NewMemory()
		s := system(b, keys...)
		var parts []string
		for i := range 9 {
			parts = append(parts, strings.Repeat(fmt.Sprint("part ", i, ", "), 40*i+1))
		}
		want := strings.Join(parts, "")
		if err := write(begin(t, s, true), "ann.memory", parts...); err != nil {
			t.Fatal(err)
		}
		for _, sys := range []*objects.System{s, system(b, keys...)} {
			f, err := sys.Open(at("ann.memory"))
			if err != nil {
				t.Fatal(err)
			}
			if info, _ := f.Stat(); info.Size() != int64(len(want)) {
				t.Errorf("%d bytes, want %d", info.Size(), len(want))
			}
			for _, from := range []int{0, 1, 500, len(want) - 1, len(want), 7} {
				for _, n := range []int{1, 77, 5000} {
					f.Seek(int64(from), io.SeekStart)
					got, err := io.ReadAll(struct{ io.Reader }{io.LimitReader(f, int64(n))})
					end := min(from+n, len(want))
					also := make([]byte, end-from)
					if _, errAt := f.ReadAt(also, int64(from)); err != nil || errAt != nil && errAt != io.EOF ||
						string(got) != want[from:end] || string(also) != want[from:end] {
						t.Errorf("%d bytes from %d: %v, %v", n, from, err, errAt)
					}
				}
			}
		}
		for _, name := range b.Names("") {
			data, _, _ := b.Get(t.Context(), name)
			if found := bytes.Contains(data, []byte("part ")) || bytes.Contains(data, []byte("memory")); found && keys != nil {
				t.Errorf("%s is not sealed", name)
			}
		}
	}
}

// A lock is its holder's as long as that renews it. One that was taken from a holder that hung is
// the holder's again when it is free.
func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := objectstest.NewMemory()
		a, c := system(b), system(b)
		path := at("members/a")
		unlock, err := a.Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			time.Sleep(term / 3)
			if err := a.Touch(path, time.Now()); err != nil {
				t.Error(err)
			}
			if _, err := c.Lock(path); !errors.Is(err, files.ErrLocked) {
				t.Errorf("a lock that is renewed: %v", err)
			}
		}
		time.Sleep(term)
		free, err := c.Lock(path)
		if err != nil {
			t.Errorf("a lock that is not renewed: %v", err)
		}
		if err := a.Touch(path, time.Now()); !errors.Is(err, files.ErrLocked) {
			t.Errorf("it is renewed, although another one has it: %v", err)
		}
		free()
		if err := a.Touch(path, time.Now()); err != nil {
			t.Errorf("it is renewed when it is free again: %v", err)
		}
		if infos, err := c.Infos(at("members")); len(infos) != 1 || infos[0].Name() != "a" || err != nil {
			t.Errorf("locks: %v, %v", infos, err)
		}
		unlock()
		if names := b.Names("locks/"); len(names) != 0 {
			t.Errorf("left: %v", names)
		}
	})
}

// While a bucket does not answer, one operation in a while waits for it, and not for longer than a
// third of a term; others fail at once. When it is back, so are they.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := objectstest.NewProcess(objectstest.NewMemory())
		s := system(p)
		if err := s.Mark(at("a.pin")); err != nil {
			t.Fatal(err)
		}
		p.Away(true)
		began, slow := time.Now(), 0
		for range 100 {
			at := time.Now()
			if _, err := s.Stat(objects.Root + "/a.pin"); !errors.Is(err, objects.ErrAway) {
				t.Fatalf("while it is away: %v", err)
			}
			if took := time.Since(at); took > term/3+time.Second {
				t.Errorf("an operation took %v", took)
			} else if took > time.Second {
				slow++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if slow > 12 {
			t.Errorf("%d of 100 operations were slow, %v in all", slow, time.Since(began))
		}
		p.Away(false)
		time.Sleep(term / 3)
		if _, err := s.Stat(at("a.pin")); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
}

// What is kept for all is what the first one put there.
func TestKeep(t *testing.T) {
	b := objectstest.NewMemory()
	for _, fresh := range []string{"first", "second"} {
		got, err := objects.Keep(t.Context(), b, "salt", []byte(fresh))
		if string(got) != "first" || err != nil {
			t.Errorf("%s: %q, %v", fresh, got, err)
		}
	}
}

// Chunks that no file has are removed in the second look at them, and those that are put again in
// between are not missed by the file that has them.
func TestCollect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := objectstest.NewMemory()
		a, c := system(b), system(b)
		collect := func(want int) {
			t.Helper()
			time.Sleep(20 * time.Minute)
			n, err := c.Collect(func([]byte) bool { return true })
			if n != want || err != nil {
				t.Errorf("%d chunks removed, want %d: %v", n, want, err)
			}
		}
		text := func() string { return read(t, system(b), "ann.memory") }
		sys := begin(t, a, true)
		err := errors.Join(write(sys, "ann.lease", "a"), write(sys, "ann.memory", "head", "old"),
			write(sys, "ann.memory", "head", "new"))
		if err != nil {
			t.Fatal(err)
		}
		collect(0)
		// One begins to write what the other one is about to remove.
		f, err := sys.Create(objects.Root, "ann.*.tmp")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, "head")
		f.(interface{ Cut() }).Cut()
		io.WriteString(f, "old")
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		collect(1)
		if err := sys.Rename(f.Name(), at("ann.memory")); !errors.Is(err, objects.ErrCollected) {
			t.Errorf("the file gets its name: %v", err)
		}
		if got := text(); got != "headnew" {
			t.Errorf("the memory is %q", got)
		}
		if err := write(begin(t, a, true), "ann.memory", "head", "old"); err != nil || text() != "headold" {
			t.Errorf("written again: %v, %q", err, text())
		}
		collect(0)
		collect(1)
		if got := b.Names("chunks/"); text() != "headold" || len(got) != 1 || !slices.ContainsFunc(got,
			func(name string) bool { return strings.HasSuffix(name, ".1") }) {
			t.Errorf("%q of %v", text(), got)
		}
	})
}
