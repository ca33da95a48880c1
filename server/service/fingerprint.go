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

// fingerprint identifies all that a model's KV cache depends on: weights, architecture, tokenizer and chat template, and
// the backend and the format of the cache, whose layout of the KV is their own.
//
// Files up to wholeFile are hashed as they are. Of larger ones, which are weights, it is the size, the beginning, where
// safetensors have their header, and samples all through: training moves every weight, so another fine-tune differs in
// them, and a gigabyte need not be read at every start.
func fingerprint(fsys fs.FS, backend, kv string) (string, error) {
	h := sha256.New()
	if kv == "q4" {
		kv = "q4 rotated" // once it was not
	}
	fmt.Fprintf(h, "backend %s\nkv %s\n", backend, kv)
	entries, err := fs.ReadDir(fsys, ".") // sorted
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !slices.Contains([]string{".json", ".jinja", ".safetensors", ".model"}, path.Ext(e.Name())) {
			continue
		}
		if err := hashFile(h, fsys, e.Name()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

const (
	wholeFile = 16 << 20
	beginning = 1 << 20
	samples   = 512
	sample    = 4 << 10
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
	if _, err := io.Copy(w, io.NewSectionReader(at, 0, beginning)); err != nil {
		return err
	}
	for i := range int64(samples) {
		from := beginning + (info.Size()-beginning-sample)*i/(samples-1)
		if _, err := io.Copy(w, io.NewSectionReader(at, from, sample)); err != nil {
			return err
		}
	}
	return nil
}
