package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func key(t testing.TB, fill byte) *Key {
	k, err := NewKey(bytes.Repeat([]byte{fill}, KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sealed(t testing.TB, k *Key, name string, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := k.NewWriter(&b, name)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(plain, 10_007) { // no divisor of a chunk
		w.Write(part)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(k *Key, name string, file []byte) ([]byte, error) {
	r, err := k.NewReader(bytes.NewReader(file), int64(len(file)), name)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

var sizes = []int{0, 1, ChunkBytes - 1, ChunkBytes, ChunkBytes + 1, 3*ChunkBytes - 5, 3 * ChunkBytes}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 5)
	}
	return b
}

// TestRoundTrip: what was sealed opens, in whole and from any byte on; no two files are alike, and
// nothing of the text is in them.
func TestRoundTrip(t *testing.T) {
	k := key(t, 1)
	for _, n := range sizes {
		file := sealed(t, k, "a", text(n))
		if int64(len(file)) != Size(int64(n)) {
			t.Errorf("%d bytes take %d, want %d", n, len(file), Size(int64(n)))
		}
		if got, err := open(k, "a", file); err != nil || !bytes.Equal(got, text(n)) {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
		if again := sealed(t, k, "a", text(n)); bytes.Equal(again[headBytes:], file[headBytes:]) {
			t.Errorf("%d bytes are sealed alike twice", n)
		}
		if n > 1000 && bytes.Contains(file, text(n)[100:132]) {
			t.Errorf("%d bytes: the text is in the file", n)
		}
		r, err := k.NewReader(bytes.NewReader(file), int64(len(file)), "a")
		if err != nil || r.Size() != int64(n) {
			t.Fatal(err)
		}
		for _, at := range []int{n / 2, 0, n - 1, n / 3, n} {
			if at < 0 {
				continue
			}
			r.Seek(int64(at), io.SeekStart)
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text(n)[at:]) {
				t.Errorf("from %d of %d: %d, %v", at, n, len(got), err)
			}
		}
	}
}

// TestForgeries: a file that differs from what was sealed in any way does not open.
func TestForgeries(t *testing.T) {
	k := key(t, 1)
	const sealedChunk = ChunkBytes + tagBytes
	for _, n := range sizes {
		file := sealed(t, k, "a", text(n))
		try := func(what string, bad []byte) {
			t.Helper()
			if bytes.Equal(bad, file) {
				return
			}
			if got, err := open(k, "a", bad); !errors.Is(err, ErrBroken) || bytes.Equal(got, text(n)) && n > 0 {
				t.Errorf("%d bytes, %s: %d bytes, %v", n, what, len(got), err)
			}
		}
		for at := len(magic) + idBytes; at < len(file); at += 1 + len(file)/97 {
			for bit := range 8 {
				bad := slices.Clone(file)
				bad[at] ^= 1 << bit
				try(fmt.Sprintf("bit %d of byte %d", bit, at), bad)
			}
			try(fmt.Sprintf("cut at %d", at), file[:at])
		}
		try("a byte more", append(slices.Clone(file), 0))
		try("another end", append(slices.Clone(file), file[headBytes:]...))
		for c := headBytes; c+sealedChunk <= len(file); c += sealedChunk {
			try("cut between chunks", file[:c])
			try("a chunk left out", slices.Delete(slices.Clone(file), c, c+sealedChunk))
			try("a chunk twice", slices.Insert(slices.Clone(file), c, file[c:c+sealedChunk]...))
			if c+2*sealedChunk <= len(file) {
				bad := slices.Clone(file)
				copy(bad[c:], file[c+sealedChunk:c+2*sealedChunk])
				copy(bad[c+sealedChunk:], file[c:c+sealedChunk])
				try("two chunks in the other order", bad)
			}
		}
		if _, err := open(k, "b", file); !errors.Is(err, ErrBroken) {
			t.Errorf("under another name: %v", err)
		}
		if _, err := open(key(t, 2), "a", file); !errors.Is(err, ErrBroken) {
			t.Errorf("with another key: %v", err)
		}
		other := sealed(t, k, "a", text(n))
		try("the chunks of another file of that name", append(slices.Clone(file[:headBytes]), other[headBytes:]...))
		try("the head of another file of that name", append(slices.Clone(other[:headBytes]), file[headBytes:]...))
	}
}

// TestKeys: a file says which key it wants, a list of keys is read as tools print them, and no
// error has a part of a key in it.
func TestKeys(t *testing.T) {
	file := sealed(t, key(t, 1), "a", text(5))
	keyOf := func(file []byte, keys ...*Key) (*Key, bool, error) {
		return KeyOf(bytes.NewReader(file), int64(len(file)), "a", keys)
	}
	if k, ok, err := keyOf(file, key(t, 2), key(t, 1)); k.ID() != key(t, 1).ID() || !ok || err != nil {
		t.Error(ok, err)
	}
	_, ok, err := keyOf(file, key(t, 2))
	if !ok || !errors.Is(err, ErrOtherKey) || !strings.Contains(err.Error(), key(t, 1).ID()) {
		t.Error(ok, err)
	}
	if _, ok, err := keyOf([]byte("{}")); ok || err != nil {
		t.Error(ok, err)
	}
	for at := len(magic); at < len(magic)+idBytes; at++ { // damage is told from another key
		bad := slices.Clone(file)
		bad[at] ^= 1 << (at % 8)
		k, ok, err := keyOf(bad, key(t, 2), key(t, 1))
		if k == nil || k.ID() != key(t, 1).ID() || !ok || !errors.Is(err, ErrBroken) {
			t.Errorf("a bit of byte %d, in the key's id: %v, %t, %v", at, k, ok, err)
		}
		if k, ok, err := keyOf(bad, key(t, 2)); k != nil || !ok || !errors.Is(err, ErrOtherKey) {
			t.Errorf("the same without the key: %v, %t, %v", k, ok, err)
		}
	}
	hexKey := strings.Repeat("0f", 32)
	keys, err := ParseKeys("# ours\n" + hexKey + "\n\nMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
	if err != nil || len(keys) != 2 || keys[0][0] != 0x0f || string(keys[1][:4]) != "0123" {
		t.Error(keys, err)
	}
	for _, bad := range []string{"", "#\n", hexKey[:62], hexKey + "0f", hexKey + " " + hexKey, "passphrase"} {
		if _, err := ParseKeys(bad); err == nil || bad != "" && strings.Contains(err.Error(), "0f0f") || strings.Contains(err.Error(), "passphrase") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	k, plain := key(b, 1), text(1<<20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		w, _ := k.NewWriter(io.Discard, "a")
		w.Write(plain)
		w.Close()
	}
}

func BenchmarkOpen(b *testing.B) {
	k := key(b, 1)
	file := sealed(b, k, "a", text(1<<20))
	b.SetBytes(1 << 20)
	for b.Loop() {
		r, _ := k.NewReader(bytes.NewReader(file), int64(len(file)), "a")
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
