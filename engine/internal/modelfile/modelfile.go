// Package modelfile reads the text files of model folders, and says what a file really is where
// something else was saved under its name. The folders come from strangers and have been through
// editors, browsers, Git and copies between machines.
package modelfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// limit bounds the bytes of a text file. Those that a folder needs have far fewer.
const limit = 64 << 20

// Read reads a JSON file or a template. A byte order mark of UTF-8 at its beginning is left out:
// Windows' editors write one, RFC 8259 lets a reader ignore it, and no text of a model begins with
// one on purpose. The error names the file, and is an fs.ErrNotExist where there is none.
func Read(fsys fs.FS, name string) ([]byte, error) {
	f, err := Open(fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return nil, fmt.Errorf("%s begins with a byte order mark of UTF-16; save it as UTF-8", name)
	}
	if err := Mistaken(data); err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}

// Open opens a file of a folder. A link that leads nowhere is not an fs.ErrNotExist, because the
// file is not optional then: the folder was copied without what its links lead to, which happens to
// the snapshots in Hugging Face's cache.
func Open(fsys fs.FS, name string) (fs.File, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if info, e := fs.Lstat(fsys, name); e == nil && info.Mode()&fs.ModeSymlink != 0 {
			to, _ := fs.ReadLink(fsys, name)
			return nil, fmt.Errorf("%s is a link to %s, which is not there; "+
				"copy the folder with the files that its links lead to (cp -L)", name, to)
		}
	}
	return f, err
}

// MistakenBytes is how much of the beginning of a file Mistaken needs.
const MistakenBytes = 64

// Mistaken returns what a file is, by its beginning, if it is not the file itself but something
// that a download left in its place: a pointer of Git LFS, a web page, or the line with which
// Hugging Face's hub refuses a download. It is nil for other files.
// The error's text continues a sentence that begins with the file's name.
func Mistaken(beginning []byte) error {
	beginning = bytes.TrimPrefix(beginning, []byte("\ufeff"))
	if bytes.HasPrefix(beginning, []byte("version https://git-lfs.github.com/")) ||
		bytes.HasPrefix(beginning, []byte("version https://hawser.github.com/")) {
		return errors.New("is a Git LFS pointer, not the file: run git lfs pull in the folder")
	}
	text := bytes.ToLower(bytes.TrimLeft(beginning[:min(len(beginning), MistakenBytes)], " \t\r\n"))
	if bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html")) {
		return errors.New("is a web page, not the file: get it again, by its download link")
	}
	for _, answer := range []string{"entry not found", "repository not found",
		"revision not found", "invalid username or password", "access to model ", "unauthorized"} {
		if bytes.HasPrefix(text, []byte(answer)) {
			return errors.New("is a refusal by the hub, not the file: get it again, " +
				"with a token if the model wants one")
		}
	}
	return nil
}
