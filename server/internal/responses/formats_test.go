package responses

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loadstone/internal/files"
)

// TestFormats: responses that earlier versions have stored (see testdata/formats/make) are found by
// their owner and by nobody else, and can be continued. With a key they are sealed, and still
// found.
func TestFormats(t *testing.T) {
	dirs, err := filepath.Glob("testdata/formats/*/*")
	if err != nil || len(dirs) != 2 {
		t.Fatalf("%v, %v", dirs, err)
	}
	for _, folder := range dirs {
		form := filepath.Dir(folder)
		t.Run(filepath.Base(form), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(form)); err != nil {
				t.Fatal(err)
			}
			owner := readsForm(t, dir)
			if (owner == "") != (filepath.Base(form) == "first") {
				t.Errorf("the owner is %q", owner)
			}
			key := bytes.Repeat([]byte{1}, 32)
			readsForm(t, dir, key)
			err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), responsePrefix) {
					return err
				}
				text, err := os.ReadFile(filepath.Join(dir, path))
				if bytes.Contains(text, []byte(`"input"`)) {
					t.Errorf("%s is not sealed", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// readsForm has a store find the two responses in a directory, the second of which continues the
// first. It returns their owner.
func readsForm(t *testing.T, dir string, keys ...[]byte) (owner string) {
	t.Helper()
	s, err := OpenStore(files.OS{}, dir, Limits{}, keys...)
	if err != nil {
		t.Fatal(err)
	}
	found, last := 0, ""
	for hash, h := range s.held {
		for id, e := range h.entries {
			body, _, err := s.read(e)
			if err != nil {
				t.Fatal(err)
			}
			var r Stored
			if err := json.Unmarshal(body, &r); err != nil {
				t.Fatal(err)
			}
			if owner = r.Owner; ownerOf(folderOf(owner, "ada")) != hash || r.Agent != "ada" {
				t.Errorf("%s of %q is in folder %s", id, owner, e.folder)
			}
			if _, err := s.Of("somebody else").Get(id); !errors.Is(err, ErrNotFound) {
				t.Errorf("somebody else gets %s: %v", id, err)
			}
			got, err := s.Of(owner).Get(id)
			if err != nil || got.ID != id || len(got.output()) == 0 || len(got.Input) == 0 {
				t.Errorf("%s: %+v, %v", id, got, err)
			}
			if found++; r.Previous != "" {
				last = id
			}
		}
	}
	chain, err := s.Of(owner).Conversation(last)
	if err != nil || len(chain) != 2 || found != 2 {
		t.Errorf("%d responses, the last of which continues %d: %v", found, len(chain), err)
	}
	return owner
}
