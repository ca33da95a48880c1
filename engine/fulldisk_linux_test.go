package engine

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A file system of 1 MiB that is full makes room in the order of the quota and spares what is
// pinned; when others have taken the room, that is said, and it recovers when they give it back.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a file system of 1 MiB: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	cfg := killConfig(filepath.Join(dir, "agents"))
	cfg.SaveAfter, cfg.SaveWithin = time.Hour, time.Hour
	e := start(t, cfg)
	there := func() (names string) {
		for _, a := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			if _, ok := e.disk.store.Find(named(a).Agent); ok {
				names += a
			}
		}
		return names
	}
	turn := func(agent, want string) error {
		t.Helper()
		err := durable(t, e, agent, count(int(agent[0]), 47)).Saved(t.Context())
		if got := there(); got != want {
			t.Errorf("after %s: %s are on disk, want %s (%v)", agent, got, want, err)
		}
		time.Sleep(10 * time.Millisecond) // so that the order of use is certain
		return err
	}
	for i, want := range []string{"a", "ab", "abc", "abcd", "abcde"} {
		if err := turn(want[i:], want); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(e.Principal("").Pin("a"), turn("f", "acdef"), e.Principal("").Pin("c"), e.Principal("").Pin("d"), e.Principal("").Pin("e"),
		e.Principal("").Pin("f")); err != nil {
		t.Fatal(err)
	}
	if err := turn("g", "acdef"); SaveFailure(err) != "disk full" || !errors.Is(err, ErrDiskFull) {
		t.Errorf("on a full disk: %v", err)
	}
	if st := e.Stats(); st.Disk != DiskFull || st.SaveFailuresBy.DiskFull == 0 {
		t.Errorf("on a full disk: %+v", st)
	}
	if err := e.Principal("").Forget("d"); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); e.Stats().Disk != DiskOK && time.Since(began) < time.Minute; {
		time.Sleep(10 * time.Millisecond)
	}
	if got, st := there(), e.Stats(); got != "acefg" || st.Disk != DiskOK {
		t.Errorf("with room again: %s, %+v", got, st)
	}
}
