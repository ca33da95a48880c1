package catalog

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cache makes a new, empty folder the user's cache directory.
func cache(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	models := filepath.Join(cache(t), "loadstone", "models")
	t.Chdir(t.TempDir())
	write(t, "folder/config.json", "{}")
	write(t, "empty/README", "")
	write(t, "hub/snapshots/0123/config.json", "{}")
	write(t, "hub/refs/main", "0123")
	write(t, "download/m.gguf", "")
	write(t, "lora/adapter_config.json", "{}")
	write(t, "original/params.json", "{}")
	write(t, "moved/README", "")
	if err := os.Symlink("../../blobs/0123", "moved/config.json"); err != nil {
		t.Skip(err)
	}
	write(t, "m.gguf", "")
	write(t, "notes", "")
	for name, want := range map[string]string{
		"smollm2":         `model "smollm2" is not on this machine; get it with: loadstone model pull smollm2`,
		"smolm2":          `unknown model "smolm2"; known are tiny, smollm2, gemma3-270m, or give the path of a checkpoint folder`,
		"":                `unknown model ""`,
		"./nothing":       `./nothing does not exist`,
		"empty":           `empty has no config.json`,
		"m.gguf":          `m.gguf is a GGUF file; make a folder of it with: loadstone model import m.gguf DIR`,
		"/nowhere/m.GGUF": `/nowhere/m.GGUF does not exist`,
		"notes":           `notes is a file`,
		"hub":             `hub has no config.json, so it is not a checkpoint folder; the model in Hugging Face's cache is hub/snapshots/0123`,
		"download":        `download has no config.json, so it is not a checkpoint folder; it has a GGUF file, make a folder of that with: loadstone model import download/m.gguf DIR`,
		"lora":            `lora has no config.json, so it is not a checkpoint folder: it is an adapter`,
		"original":        `original has no config.json, so it is not a checkpoint folder: params.json is`,
		"moved":           `moved has no config.json, so it is not a checkpoint folder: config.json is a link to a file that is not there`,
	} {
		if s, err := Open(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Open(%q) = %v, %v, want the error %s", name, s, err, want)
		}
	}
	write(t, filepath.Join(models, "smollm2", "config.json"), "{}")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Source{
		"tiny":     {Name: "tiny"},
		"smollm2":  {Name: "smollm2", Dir: filepath.Join(models, "smollm2")},
		"folder":   {Name: "folder", Dir: filepath.Join(here, "folder")},
		"folder/":  {Name: "folder", Dir: filepath.Join(here, "folder")},
		"./folder": {Name: "folder", Dir: filepath.Join(here, "folder")},
	} {
		s, err := Open(name)
		if err != nil || s.Name != want.Name || s.Dir != want.Dir {
			t.Errorf("Open(%q) = %+v, %v, want %+v", name, s, err, want)
			continue
		}
		if f, err := s.FS.Open("config.json"); err != nil {
			t.Errorf("Open(%q): %v", name, err)
		} else {
			f.Close()
		}
	}
}

func TestList(t *testing.T) {
	models := filepath.Join(cache(t), "loadstone", "models")
	write(t, filepath.Join(models, "gemma3-270m", "config.json"), "{}")
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, e := range list {
		if e.Title == "" || e.Licence == "" || e.Installed && !e.Embedded() && e.Dir == "" {
			t.Errorf("entry %+v", e)
		}
		if e.Installed {
			got += e.Name + " "
		}
	}
	if want := "tiny gemma3-270m "; got != want {
		t.Errorf("installed: %s, want %s", got, want)
	}
}

// TestFolder checks that an embedded model is written out whole and removed again, and that a
// folder on disk is returned as it is and stays.
func TestFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	src, err := Open("tiny")
	if err != nil {
		t.Fatal(err)
	}
	dir, remove, err := src.Folder()
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := fs.ReadFile(src.FS, "config.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || !bytes.Equal(got, embedded) {
		t.Errorf("config.json on disk is %q, %v", got, err)
	}
	if err := remove(); err != nil || installed(dir) {
		t.Errorf("after remove, which returned %v, the temporary folder exists: %t",
			err, installed(dir))
	}

	own := t.TempDir()
	write(t, filepath.Join(own, "config.json"), "{}")
	if src, err = Open(own); err != nil {
		t.Fatal(err)
	}
	if dir, remove, err = src.Folder(); err != nil || dir != own {
		t.Fatalf("Folder of %s: %s, %v", own, dir, err)
	}
	if err := remove(); err != nil || !installed(own) {
		t.Errorf("after remove, which returned %v, the folder on disk exists: %t",
			err, installed(own))
	}
}
