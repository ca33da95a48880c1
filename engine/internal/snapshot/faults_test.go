package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
	"loadstone/internal/seal"
)

// filled returns a complete snapshot of an agent.
func filled(agent string, tokens int) *Snapshot {
	return complete(small.of(agent, tokens), func(int) byte { return byte(tokens) })
}

// TestFailedSave: a save that fails leaves the agent's older memory, in the index as in the
// directory, and nothing else. Where no more than the directory's sync fails, both have the new
// one, which a loss of power may take.
func TestFailedSave(t *testing.T) {
	for _, at := range []filestest.Op{filestest.Create, filestest.Write, filestest.Sync,
		filestest.Close, filestest.Rename, filestest.SyncDir} {
		t.Run(string(at), func(t *testing.T) {
			dir, tap := t.TempDir(), &filestest.Tap{System: files.OS{}}
			s := openOn(t, tap, dir, small, 1<<20, 0)
			defer s.Close()
			if err := s.save(filled("ann", 5)); err != nil {
				t.Fatal(err)
			}
			failed := false
			tap.Before = func(op filestest.Op, _ string) error {
				if op != at || failed {
					return nil
				}
				failed = true
				return syscall.EIO
			}
			if err := s.save(filled("ann", 9)); !failed || !errors.Is(err, syscall.EIO) {
				t.Fatalf("the save: %v, failed %t", err, failed)
			}
			want := 5
			if at == filestest.SyncDir {
				want = 9
			}
			tokens, _, err := conversation(s, named("ann"))
			if x, ok := s.Find(named("ann")); !ok || x.Header.Tokens != want || len(tokens) != want ||
				err != nil {
				t.Errorf("the index has %d tokens, the file %d: %v; want %d", x.Header.Tokens,
					len(tokens), err, want)
			}
			onlyThese(t, s, dir, "ann")
		})
	}
}

// onlyThese fails unless a store's directory has the memories of these agents and nothing else, and
// the store counts their bytes.
func onlyThese(t *testing.T, s *Store, dir string, agents ...string) {
	t.Helper()
	want := map[string]bool{"lock": true}
	for _, a := range agents {
		want[FileName(named(a))] = true
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	bytes := int64(0)
	for _, f := range there {
		if !want[f.Name()] {
			t.Errorf("%s is left", f.Name())
		}
		if info, err := f.Info(); err == nil && strings.HasSuffix(f.Name(), ".memory") {
			bytes += info.Size()
		}
	}
	if n, size := s.Size(); len(there) != len(want) || n != len(agents) || size != bytes ||
		s.Sizes()[""] != bytes {
		t.Errorf("%d files of %d bytes; the store counts %d of %d, of the principal %d", len(there),
			bytes, n, size, s.Sizes()[""])
	}
}

// TestReadErrorAtStart: a memory that the disk fails to read, once or from then on, at whichever
// call of a start, is left alone, and the next start has it. Its pin is not lost either.
func TestReadErrorAtStart(t *testing.T) {
	for name, keys := range map[string][]*seal.Key{"plain": nil, "sealed": {key(t, 1)}} {
		t.Run(name, func(t *testing.T) {
			dir, tap := t.TempDir(), &filestest.Tap{System: files.OS{}}
			start := func() *Store {
				s, err := OpenStore(tap, dir, small, 1<<20, 0, keys...)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := start()
			if err := errors.Join(s.save(filled("ann", 5)), s.Pin(named("ann"), true)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			ann := strings.TrimSuffix(FileName(named("ann")), ".memory")
			for _, persists := range []bool{false, true} {
				failed := true
				for n := 1; failed; n++ {
					failed = false
					calls := 0
					tap.Before = func(op filestest.Op, path string) error {
						if !strings.HasPrefix(filepath.Base(path), ann) || op == filestest.Close ||
							persists && op == filestest.Rename {
							return nil
						}
						if calls++; calls < n || calls > n && !persists {
							return nil
						}
						failed = true
						return syscall.EIO
					}
					s := start()
					if x, ok := s.Find(named("ann")); ok && !x.Pinned {
						t.Errorf("call %d fails: the memory is not pinned", n)
					}
					s.Close()
					tap.Before = nil
					s = start()
					if x, ok := s.Find(named("ann")); !ok || x.Header.Tokens != 5 || !x.Pinned {
						t.Errorf("call %d failed: the next start has %+v, %t", n, x, ok)
					}
					s.Close()
				}
			}
		})
	}
}

// TestPinOfUnread: a memory that is saved while the disk fails to read the agent's older one is
// pinned as that was, at once and after the next start.
func TestPinOfUnread(t *testing.T) {
	for _, pinned := range []bool{true, false} {
		dir, tap := t.TempDir(), &filestest.Tap{System: files.OS{}}
		open := func() *Store {
			s, err := OpenStore(tap, dir, small, 1<<20, 0)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		if err := errors.Join(s.save(filled("ann", 5)), s.Pin(named("ann"), pinned)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		tap.Before = func(op filestest.Op, path string) error {
			if op == filestest.Open && filepath.Base(path) == FileName(named("ann")) {
				return syscall.EIO
			}
			return nil
		}
		s = open()
		tap.Before = nil
		if x, ok := s.Find(named("ann")); ok {
			t.Fatalf("the disk fails, and %+v is found", x)
		}
		if err := s.save(filled("ann", 9)); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"at once", "after the next start"} {
			if x, ok := s.Find(named("ann")); !ok || x.Header.Tokens != 9 || x.Pinned != pinned {
				t.Errorf("%s there is %+v, %t; pinned before: %t", when, x, ok, pinned)
			}
			s.Close()
			s = open()
		}
		s.Close()
	}
}

// TestPinOfSetAside: a memory that is set aside, because it is damaged or of another model, leaves
// its pin. The agent's next one is pinned, at once and after a start, until the agent is deleted.
func TestPinOfSetAside(t *testing.T) {
	quiet(t)
	other := small
	other.Fingerprint = "another"
	header := len(filled("ann", 5).header.encode())
	for _, test := range []struct {
		name   string
		match  Header // of the store that finds the memory
		damage int    // the byte of the file that is changed; 0: none is
	}{
		{"damaged header, found by the start", small, 9},
		{"damaged tokens, found when it is opened", small, header + 1},
		{"of another model", other, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, small, 1<<20, 0)
			if err := errors.Join(s.save(filled("ann", 5)), s.Pin(named("ann"), true)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			path := filepath.Join(dir, FileName(named("ann")))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if test.damage > 0 {
				data[test.damage] ^= 1
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			pinOfSetAside(t, dir, test.match)
		})
	}
}

// pinOfSetAside looks at a directory in which the pinned memory of ann is of no use.
func pinOfSetAside(t *testing.T, dir string, match Header) {
	t.Helper()
	next := func() *Snapshot { return complete(match.of("ann", 9), func(int) byte { return 1 }) }
	s := open(t, dir, match, 1<<20, 0)
	again := func() {
		s.Close()
		s = open(t, dir, match, 1<<20, 0)
	}
	defer func() { s.Close() }()
	if m, err := s.Open(named("ann")); err == nil {
		m.Close()
		t.Fatal("it is of use")
	}
	for range 2 {
		if x, ok := s.Find(named("ann")); ok || !s.Pinned(named("ann")) {
			t.Errorf("after it was set aside: %+v, %t; pinned: %t", x, ok, s.Pinned(named("ann")))
		}
		again()
	}
	if err := s.save(next()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if x, ok := s.Find(named("ann")); !ok || x.Header.Tokens != 9 || !x.Pinned {
			t.Errorf("the next one: %+v, %t", x, ok)
		}
		again()
	}
	if _, err := s.Remove(named("ann"), func(take func()) error { take(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.save(next()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if x, ok := s.Find(named("ann")); !ok || x.Pinned {
			t.Errorf("after it was deleted: %+v, %t", x, ok)
		}
		again()
	}
}

// TestQuarantineSparesNewer: a memory that was found damaged, and that a newer one has replaced
// meanwhile, does not take that one with it.
func TestQuarantineSparesNewer(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small, 1<<20, 0)
	defer s.Close()
	if err := s.save(filled("ann", 5)); err != nil {
		t.Fatal(err)
	}
	m, err := s.Open(named("ann"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := s.save(filled("ann", 9)); err != nil {
		t.Fatal(err)
	}
	s.Quarantine(m, named("ann"), corrupt("a test says so"))
	if tokens, _, err := conversation(s, named("ann")); err != nil || len(tokens) != 9 {
		t.Errorf("%d tokens are left: %v", len(tokens), err)
	}
	onlyThese(t, s, dir, "ann")
}

// TestPrincipalsQuota: a principal's quota counts each agent's memory once, however often it was
// saved.
func TestPrincipalsQuota(t *testing.T) {
	s := open(t, t.TempDir(), small, 1<<20, 0)
	defer s.Close()
	of := func(agent string) *Snapshot {
		h := small
		h.Agent, h.Tokens = kv.Agent{Principal: "p", Name: agent}, 4
		return complete(h, func(int) byte { return 1 })
	}
	h := of("a").header
	unit := h.fileBytes(len(h.encode()))
	s.SetQuotas(map[string]int64{"p": 2 * unit})
	for _, agent := range []string{"a", "a", "a", "b", "b", "a"} {
		if err := s.save(of(agent)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Sizes()["p"]; got != 2*unit {
		t.Errorf("%d bytes are counted of two memories of %d", got, unit)
	}
	for _, agent := range []string{"a", "b"} {
		if _, ok := s.Find(kv.Agent{Principal: "p", Name: agent}); !ok {
			t.Errorf("%s was deleted", agent)
		}
	}
}
