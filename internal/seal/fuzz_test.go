package seal

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

// FuzzOpen opens any bytes as a sealed file. Nobody can make one without the key, so what opens is
// one of the files that were sealed, under the name that they have.
func FuzzOpen(f *testing.F) {
	key, err := NewKey(bytes.Repeat([]byte{7}, KeyBytes))
	if err != nil {
		f.Fatal(err)
	}
	known := map[string]bool{} // what was sealed
	for _, plain := range []string{"", "a", strings.Repeat("b", ChunkBytes), strings.Repeat("c", ChunkBytes+9)} {
		var b bytes.Buffer
		w, err := key.NewWriter(&b, "name")
		if err != nil {
			f.Fatal(err)
		}
		io.WriteString(w, plain)
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		known[plain] = true
		if len(plain) < 10 { // the fuzzer is slow with large inputs
			f.Add(b.Bytes(), "name")
			f.Add(b.Bytes()[:b.Len()-1], "name")
			f.Add(b.Bytes(), "other")
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		r, sealed, err := Open(bytes.NewReader(data), int64(len(data)), name, []*Key{key})
		if err != nil || !sealed {
			return
		}
		if r.Size() > int64(len(data)) {
			t.Errorf("%d bytes in a file of %d", r.Size(), len(data))
		}
		got, err := io.ReadAll(r)
		if err != nil {
			return
		}
		if !known[string(got)] || name != "name" || int64(len(data)) != Size(int64(len(got))) {
			t.Errorf("%d bytes under the name %q open, which were not sealed", len(data), name)
		}
	})
}

// FuzzParseKeys reads any text as a file of keys: it has keys of the right length, or an error
// without what was read.
func FuzzParseKeys(f *testing.F) {
	for _, text := range []string{
		"", "# nothing\n", strings.Repeat("ab", KeyBytes), "# a\n" + strings.Repeat("AB", KeyBytes) + "\r\n",
		"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n", "BwcH", "\xff",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); err != nil && len(line) > 8 &&
				strings.Contains(err.Error(), line) {
				t.Errorf("the error has a line of the file: %v", err)
			}
		}
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys and %v", len(keys), err)
		}
		for _, k := range keys {
			if len(k) != KeyBytes {
				t.Errorf("a key of %d bytes", len(k))
			}
			again, err := ParseKeys(hex.EncodeToString(k))
			if err != nil || !bytes.Equal(again[0], k) {
				t.Errorf("the key is read otherwise in hexadecimal: %v", err)
			}
		}
	})
}
