package modelfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
	for _, c := range []struct{ file, want, say string }{
		{`{"a":1}`, `{"a":1}`, ""},
		{"\ufeff{}", "{}", ""},
		{"\ufeff", "", ""},
		{"", "", ""},
		{"\xff\xfe{\x00}\x00", "", "f.json begins with a byte order mark of UTF-16"},
		{"\xfe\xff\x00{\x00}", "", "f.json begins with a byte order mark of UTF-16"},
		{lfs, "", "f.json is a Git LFS pointer, not the file: run git lfs pull"},
		{"\ufeff" + lfs, "", "f.json is a Git LFS pointer"},
		{"\n <!DOCTYPE html><html>", "", "f.json is a web page, not the file"},
		{"<html><body>", "", "f.json is a web page"},
		{"Entry not found", "", "f.json is a refusal by the hub, not the file"},
		{"Invalid username or password.", "", "f.json is a refusal by the hub"},
		{"Access to model a/b is restricted.", "", "f.json is a refusal by the hub"},
	} {
		got, err := Read(fstest.MapFS{"f.json": {Data: []byte(c.file)}}, "f.json")
		if c.say == "" && (err != nil || string(got) != c.want) {
			t.Errorf("%q is read as %q (%v), want %q", c.file, got, err, c.want)
		}
		if c.say != "" && (err == nil || !strings.HasPrefix(err.Error(), c.say)) {
			t.Errorf("%q: error %v, want %q", c.file, err, c.say)
		}
	}
	if _, err := Read(fstest.MapFS{}, "f.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// A link to nothing is named, and is not taken for a file that the folder does without.
func TestLinkToNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("../blobs/0123", filepath.Join(dir, "f.json")); err != nil {
		t.Skip(err)
	}
	_, err := Read(os.DirFS(dir), "f.json")
	if err == nil || errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "f.json is a link to ../blobs/0123, which is not there") {
		t.Errorf("error %v", err)
	}
}
