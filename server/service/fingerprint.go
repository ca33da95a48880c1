package service

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

// fingerprint identifies everything that a model's KV cache depends on: weights, architecture,
// tokenizer and chat template, the backend, which has a KV layout of its own, the format of the
// cache, and the bits to which activations are rounded.
//
// Files up to wholeFile bytes are hashed whole. Larger files are weights. Of them, the hash covers
// the size, the beginning, where safetensors have their header, and samples throughout. Training
// moves every weight, so another fine-tune differs in the samples, and a gigabyte need not be read
// at every start.
func fingerprint(fsys fs.FS, backend, kv string, activations int) (string, error) {
	h := sha256.New()
	// These two lines are hashed as earlier releases wrote them, so that memories on disk stay
	// valid. q4 has stored rotated vectors since commit 58caa56; memories from before it must not
	// match.
	if backend == BackendMLX {
		backend = backendMetal
	}
	if kv == "q4" {
		kv = "q4 rotated"
	}
	fmt.Fprintf(h, "backend %s\nkv %s\n", backend, kv)
	if activations == 16 {
		fmt.Fprintf(h, "activations %d\n", activations)
	}
	entries, err := fs.ReadDir(fsys, ".") // sorted
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !slices.Contains([]string{".json", ".jinja", ".safetensors", ".model"},
			path.Ext(e.Name())) {
			continue
		}
		if err := hashFile(h, fsys, e.Name()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// How a large file is hashed.
const (
	wholeFile      = 16 << 20 // largest file that is hashed whole, in bytes
	beginningBytes = 1 << 20
	sampleCount    = 512
	sampleBytes    = 4 << 10
)

func hashFile(w io.Writer, fsys fs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return err
	}
	fmt.Fprintf(w, "%q %d\n", name, info.Size())
	at, ok := f.(io.ReaderAt)
	if info.Size() <= wholeFile || !ok {
		_, err := io.Copy(w, f)
		return err
	}
	if _, err := io.Copy(w, io.NewSectionReader(at, 0, beginningBytes)); err != nil {
		return err
	}
	for i := range int64(sampleCount) {
		from := beginningBytes + (info.Size()-beginningBytes-sampleBytes)*i/(sampleCount-1)
		if _, err := io.Copy(w, io.NewSectionReader(at, from, sampleBytes)); err != nil {
			return err
		}
	}
	return nil
}
