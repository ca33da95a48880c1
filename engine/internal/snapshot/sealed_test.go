package snapshot

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
	"loadstone/internal/seal"
)

func key(t *testing.T, fill byte) *seal.Key {
	t.Helper()
	k, err := seal.NewKey(bytes.Repeat([]byte{fill}, seal.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// conversation returns what a store has of an agent: its tokens and the first byte of each block.
func conversation(s *Store, agent kv.Agent) (tokens []int32, blocks []byte, err error) {
	m, err := s.Open(agent)
	if err != nil {
		return nil, nil, err
	}
	defer m.Close()
	for i := len(m.sums) - 1; i >= 0; i-- { // backwards, so that each is a seek
		b, err := m.Chunk(i, make([]byte, m.header.maxChunk()))
		if err != nil {
			return nil, nil, err
		}
		blocks = append(blocks, b[0])
	}
	return m.Tokens(), blocks, nil
}

// TestAnother: goroutines that each have their own of one file, sealed or not, read what is in it,
// at the same time and in any order.
func TestAnother(t *testing.T) {
	big := small
	big.GlobalBytes = 9000 // some blocks lie in two chunks of the seal
	for name, keys := range map[string][]*seal.Key{"plain": nil, "sealed": {key(t, 1)}} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenStore(files.OS{}, t.TempDir(), big, 1<<24, 0, keys...)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			snap := complete(big.of("ann", 41), func(i int) byte { return byte(i + 1) })
			if err := s.save(snap); err != nil {
				t.Fatal(err)
			}
			m, err := s.Open(named("ann"))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var reads sync.WaitGroup
			defer reads.Wait()
			for first := range 4 {
				f, ok := m, true
				if first > 0 {
					f, ok = m.Another()
				}
				if !ok {
					t.Fatal("there is no other")
				}
				reads.Go(func() {
					for n := range 2 * len(m.sums) {
						i := (3*first + (2*first+1)*n) % len(m.sums)
						b, err := f.Chunk(i, make([]byte, m.header.maxChunk()))
						if err != nil || !bytes.Equal(b, snap.chunks[i]) {
							t.Errorf("reader %d, chunk %d: %d bytes, %v", first, i, len(b), err)
						}
					}
				})
			}
		})
	}
}

// TestSealed: with a key, nothing of a memory can be read from the disk, not even whose it is; it
// opens with the key alone; and a wrong key, or none, is named before anything is set aside.
func TestSealed(t *testing.T) {
	dir, ann := t.TempDir(), kv.Agent{Principal: "someone", Name: "ann-of-the-north"}
	big := small
	big.GlobalBytes = 9000 // some blocks lie in two chunks of the seal
	h := big
	h.Agent, h.Tokens = ann, 41
	snap := func() *Snapshot { return complete(h, func(i int) byte { return byte(i + 1) }) }

	s, err := OpenStore(files.OS{}, dir, big, 1<<24, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.save(snap()); err != nil {
		t.Fatal(err)
	}
	plainSize := s.bytes
	wantTokens, wantBlocks, err := conversation(s, ann)
	if err != nil || len(wantBlocks) != 11 {
		t.Fatal(wantBlocks, err)
	}
	s.Close()
	check := func(when string, s *Store) {
		t.Helper()
		tokens, blocks, err := conversation(s, ann)
		if err != nil || !slices.Equal(tokens, wantTokens) || !slices.Equal(blocks, wantBlocks) {
			t.Errorf("%s: %v %v %v", when, tokens, blocks, err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		size := int64(0)
		for _, f := range files {
			b, _ := os.ReadFile(f)
			for _, word := range []string{"ann-of", "someone", "fake", "block", "checksums", string(bytes.Repeat([]byte{3}, 40))} {
				if bytes.Contains(b, []byte(word)) || strings.Contains(f, word) {
					t.Errorf("%s: %q is in %s", when, word, filepath.Base(f))
				}
			}
			if strings.HasSuffix(f, ".memory") {
				size += int64(len(b))
			}
		}
		if _, n := s.Size(); n != size || n <= plainSize {
			t.Errorf("%s: the store counts %d bytes, the disk %d, unsealed %d", when, n, size, plainSize)
		}
	}
	// A file that is older than the key is sealed at once, and a new one is never anything else.
	s, err = OpenStore(files.OS{}, dir, big, 1<<24, 0, key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	check("sealed at the start", s)
	if err := s.save(snap()); err != nil {
		t.Fatal(err)
	}
	check("saved again", s)
	s.Close()
	// The key can be exchanged: the old one still opens.
	s, err = OpenStore(files.OS{}, dir, big, 1<<24, 0, key(t, 2), key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	check("with a new key", s)
	s.Close()
	for name, keys := range map[string][]*seal.Key{"no key": nil, "id " + key(t, 3).ID(): {key(t, 3)}} {
		_, err := OpenStore(files.OS{}, dir, big, 1<<24, 0, keys...)
		if !errors.Is(err, seal.ErrOtherKey) || !strings.Contains(err.Error(), name) ||
			!strings.Contains(err.Error(), key(t, 1).ID()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err = OpenStore(files.OS{}, dir, big, 1<<24, 0, key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	check("after the wrong ones", s)

	// While the store is open, a file that is not sealed, or is another's, is not used.
	bob := kv.Agent{Principal: "other", Name: "ann-of-the-north"}
	for what, plant := range map[string]func(){
		"another agent's sealed file": func() {
			b, _ := os.ReadFile(s.path(ann))
			os.WriteFile(s.path(bob), b, 0o600)
		},
		"a file that is not sealed": func() {
			forged := h
			forged.Agent = bob
			f, _ := os.Create(s.path(bob))
			complete(forged, func(int) byte { return 9 }).write(f)
			f.Close()
		},
	} {
		plant()
		if _, err := s.Open(bob); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(s.path(bob)); err == nil {
			t.Errorf("%s is not set aside", what)
		}
	}
	s.Close()
}

// TestKeyID: a sealed file names its key, and a bit of that name may flip too. The only memory of a
// store, damaged so, is set aside like any other that is damaged, and the store opens; for a key
// that is not the store's it does not. Beside memories that open, those of another key stay where
// they are, for a start with that key.
func TestKeyID(t *testing.T) {
	quiet(t)
	dir := t.TempDir()
	start := func(keys ...*seal.Key) (*Store, error) {
		return OpenStore(files.OS{}, dir, small, 1<<20, 0, keys...)
	}
	save := func(agent string, tokens int, keys ...*seal.Key) {
		t.Helper()
		s, err := start(keys...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.save(filled(agent, tokens)); err != nil {
			t.Fatal(err)
		}
	}
	tokens := func(agent string, keys ...*seal.Key) int {
		t.Helper()
		s, err := start(keys...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		x, _ := s.Find(named(agent))
		return x.Header.Tokens
	}
	bad := func() int {
		all, _ := filepath.Glob(filepath.Join(dir, "*.bad"))
		return len(all)
	}
	ann := filepath.Join(dir, FileName(named("ann")))
	damage := func(change func(file []byte) []byte) {
		t.Helper()
		file, err := os.ReadFile(ann)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ann, change(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	id := len(seal.Format)
	for bit := range 64 {
		save("ann", 5, key(t, 1))
		damage(func(file []byte) []byte { file[id+bit/8] ^= 1 << (bit % 8); return file })
		for _, keys := range [][]*seal.Key{nil, {key(t, 2)}} {
			if _, err := start(keys...); !errors.Is(err, seal.ErrOtherKey) || bad() > 0 {
				t.Fatalf("bit %d, with %d other keys: %v; %d files set aside", bit, len(keys), err, bad())
			}
		}
		if n := tokens("ann", key(t, 2), key(t, 1)); n != 0 || bad() != 1 {
			t.Fatalf("bit %d: %d tokens; %d files set aside", bit, n, bad())
		}
		os.Remove(strings.TrimSuffix(ann, "memory") + "corrupt.bad")
	}

	save("ann", 5, key(t, 1))
	save("bob", 9, key(t, 2), key(t, 1))
	if a, b := tokens("ann", key(t, 2)), tokens("bob", key(t, 2)); a != 0 || b != 9 || bad() > 0 {
		t.Errorf("with bob's key: ann has %d, bob %d; %d files set aside", a, b, bad())
	}
	if a, b := tokens("ann", key(t, 1)), tokens("bob", key(t, 1)); a != 5 || b != 0 || bad() > 0 {
		t.Errorf("with ann's key: ann has %d, bob %d; %d files set aside", a, b, bad())
	}
	if a, b := tokens("ann", key(t, 1), key(t, 2)), tokens("bob", key(t, 1), key(t, 2)); a != 5 || b != 9 {
		t.Errorf("with both: ann has %d, bob %d", a, b)
	}
	// A file of which no key can be said says nothing of the others.
	damage(func(file []byte) []byte { return file[:id+3] })
	if _, err := start(key(t, 3)); !errors.Is(err, seal.ErrOtherKey) || bad() > 0 {
		t.Errorf("with a third key: %v; %d files set aside", err, bad())
	}
}

// TestSealedDamage: any change of a sealed file is found.
func TestSealedDamage(t *testing.T) {
	dir, h := t.TempDir(), small.of("ann", 21)
	s, err := OpenStore(files.OS{}, dir, h, 1<<20, 0, key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.save(complete(h, func(i int) byte { return byte(i) })); err != nil {
		t.Fatal(err)
	}
	path := s.path(h.Agent)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		os.WriteFile(path, bad, 0o600)
		if _, _, err := conversation(s, h.Agent); err == nil {
			t.Errorf("bit %d of byte %d: not found", i%8, i)
		}
		if i%9 == 0 {
			os.WriteFile(path, good[:i], 0o600)
			if _, _, err := conversation(s, h.Agent); err == nil {
				t.Errorf("cut at %d: not found", i)
			}
		}
	}
}

// TestExport: an export of a principal can be imported by the one it was made for and by no other,
// and not once a bit of it was changed, though every checksum is made right again.
func TestExport(t *testing.T) {
	for name, keys := range map[string][]*seal.Key{"without a key": nil, "sealed": {key(t, 1)}} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenStore(files.OS{}, t.TempDir(), small, 1<<20, 0, keys...)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			h := small
			h.Agent, h.Tokens, h.Salt = kv.Agent{Principal: "p", Name: "ann"}, 10, "s"
			if err := s.save(complete(h, func(i int) byte { return byte(i) })); err != nil {
				t.Fatal(err)
			}
			export := func(to string) []byte {
				var b bytes.Buffer
				if err := s.Export(h.Agent, to, &b); err != nil {
					t.Fatal(err)
				}
				return b.Bytes()
			}
			take := func(s *Store, by string, file []byte) error {
				_, err := s.Import(by, bytes.NewReader(file), alone, func(_ kv.Agent, take func() error) error { return take() })
				return err
			}
			own, given, open := export("p"), export("q"), export("")
			for _, test := range []struct {
				what, by string
				file     []byte
				want     error
			}{
				{"her own", "p", own, nil}, {"hers by another", "q", own, ErrOtherPrincipal},
				{"hers by one without a name", "", own, ErrOtherPrincipal},
				{"given to q", "q", given, nil}, {"given to q, by her", "p", given, ErrOtherPrincipal},
				{"given to q, by r", "r", given, ErrOtherPrincipal},
				{"given to the one without a name", "", open, nil}, {"the same by q", "q", open, ErrOtherPrincipal},
			} {
				if err := take(s, test.by, test.file); !errors.Is(err, test.want) || test.want == nil && err != nil {
					t.Errorf("%s: %v, want %v", test.what, err, test.want)
				}
			}
			if x, ok := s.Find(kv.Agent{Principal: "q", Name: "ann"}); !ok || x.Header.Salt != "" || x.Header.Tagged {
				t.Errorf("what q has: %+v", x.Header)
			}
			if bytes.Contains(given, []byte(`"principal":"p"`)) {
				t.Error("the file for q names p")
			}
			for i := range given {
				bad := slices.Clone(given)
				bad[i] ^= 1 << (i % 8)
				if take(s, "q", bad) == nil {
					t.Errorf("bit %d of byte %d: taken", i%8, i)
				}
			}
			for n := range given {
				if take(s, "q", given[:n]) == nil {
					t.Errorf("cut at %d: taken", n)
				}
			}
			// Somebody who knows the format makes a file for q, or turns p's into one.
			forged := h
			forged.Agent.Principal, forged.Tagged, forged.Salt = "q", true, ""
			var b bytes.Buffer
			complete(forged, func(i int) byte { return 7 }).write(&b)
			if err := take(s, "q", append(b.Bytes(), make([]byte, tagBytes)...)); !errors.Is(err, ErrForged) {
				t.Errorf("a made one: %v", err)
			}
			b.Reset()
			m, err := s.Open(h.Agent)
			if err != nil {
				t.Fatal(err)
			}
			m.copyAs(forged, &b)
			m.Close()
			if err := take(s, "q", append(b.Bytes(), own[len(own)-tagBytes:]...)); !errors.Is(err, ErrForged) {
				t.Errorf("one with another's tag: %v", err)
			}
			forged.Tagged = false
			b.Reset()
			complete(forged, func(i int) byte { return 7 }).write(&b)
			if err := take(s, "q", b.Bytes()); !errors.Is(err, ErrOtherPrincipal) {
				t.Errorf("one without a tag: %v", err)
			}
			// Another server takes it only with the same key.
			there, err := OpenStore(files.OS{}, t.TempDir(), small, 1<<20, 0, keys...)
			if err != nil {
				t.Fatal(err)
			}
			defer there.Close()
			if err := take(there, "q", given); (err == nil) != (keys != nil) || err != nil && !errors.Is(err, ErrForged) {
				t.Errorf("elsewhere: %v", err)
			}
		})
	}
}

// TestPlainExport: where there is one principal, an export is the file as it is, of the format that
// earlier versions read.
func TestPlainExport(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small, 1<<20, 0)
	defer s.Close()
	h := small.of("ann", 10)
	if err := s.save(complete(h, func(i int) byte { return byte(i) })); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Export(h.Agent, "", &b); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.path(h.Agent))
	if err != nil || !bytes.Equal(b.Bytes(), file) || !bytes.Contains(file, []byte(format)) {
		t.Errorf("%d bytes, the file has %d; %v", b.Len(), len(file), err)
	}
	if _, err := s.Import("", io.LimitReader(&b, 1<<20), alone, func(_ kv.Agent, take func() error) error { return take() }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, exportKeyFile)); err == nil {
		t.Error("a key was made that nobody needs")
	}
}
