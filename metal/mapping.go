//go:build mlx

package metal

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"loadstone/engine/checkpoint"
)

// A mapping is the weights of a model folder, mapped into memory read-only: a load reads them where
// the system keeps them, and gives the pages of each tensor back once it has been read.
type mapping struct {
	config  checkpoint.Config
	dir     string
	files   map[string]*mappedFile // by name in dir
	tensors []C.ls_tensor
	bytes   int64 // of all tensors of the network
	pins    runtime.Pinner
	copies  []unsafe.Pointer // in C's memory, of parts of tensors
}

type mappedFile struct {
	*os.File
	size int64
	data []byte // nil unless the file has tensors
}

var tensorTypes = map[string]C.int32_t{
	"F32": C.LS_F32, "F16": C.LS_F16, "BF16": C.LS_BF16, "U32": C.LS_U32,
}

// openWeights opens a model folder and maps its safetensors files. Close must be called.
func openWeights(dir string) (*mapping, error) {
	w := &mapping{dir: dir, files: map[string]*mappedFile{}}
	if err := w.open(); err != nil {
		w.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return w, nil
}

func (w *mapping) open() error {
	c, err := checkpoint.Open(keepOpen{w})
	if err != nil {
		return err
	}
	network, err := c.Network()
	if err != nil {
		return err
	}
	w.config = c.Config
	entries, dims := network.Entries(), 0
	for _, e := range entries {
		dims += len(e.Shape)
	}
	shapes := make([]C.int64_t, 0, dims+1) // of all tensors: never moved, and pinned as a whole
	w.pins.Pin(unsafe.SliceData(shapes))
	for _, e := range entries {
		f := w.files[e.File]
		if err := f.mmap(); err != nil {
			return fmt.Errorf("%s: %w", e.File, err)
		}
		typ, ok := tensorTypes[e.DType]
		if !ok {
			typ = C.LS_OTHER_TYPE
		}
		t := C.ls_tensor{
			name: C.CString(e.Name), _type: typ, dims: C.int32_t(len(e.Shape)),
			bytes: C.int64_t(e.End - e.Begin),
		}
		if e.End > e.Begin {
			t.data = unsafe.Pointer(&f.data[e.Begin])
		}
		first := len(shapes)
		for _, n := range e.Shape {
			shapes = append(shapes, C.int64_t(n))
		}
		t.shape = unsafe.SliceData(shapes[first:])
		w.tensors = append(w.tensors, t)
		w.bytes += e.End - e.Begin
	}
	return nil
}

// keepOpen is the folder as a file system that keeps its files open after they are closed. The
// files that are mapped are then the ones whose headers package checkpoint has checked, also when
// somebody replaces the folder in between. It matters because a byte that is missing from a mapped
// file is not an error but a signal.
type keepOpen struct{ *mapping }

func (k keepOpen) Open(name string) (fs.File, error) {
	f, err := os.DirFS(k.dir).Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return f, nil
	}
	file := f.(*os.File) // DirFS returns nothing else
	if earlier := k.files[name]; earlier != nil {
		earlier.File.Close()
	}
	k.files[name] = &mappedFile{File: file, size: info.Size()}
	return keptFile{file, info}, nil
}

// Lstat and ReadLink tell a link that leads nowhere from a file that is not there.
func (k keepOpen) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(os.DirFS(k.dir), name) }
func (k keepOpen) ReadLink(name string) (string, error) {
	return fs.ReadLink(os.DirFS(k.dir), name)
}

// keptFile always has the size that is mapped, and Close leaves it open.
type keptFile struct {
	*os.File
	info fs.FileInfo
}

func (f keptFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (keptFile) Close() error                 { return nil }

// mmap maps a file unless it is mapped already.
func (f *mappedFile) mmap() (err error) {
	if f.data != nil {
		return nil
	}
	f.data, err = syscall.Mmap(int(f.Fd()), 0, int(f.size), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("mapping %d bytes: %w", f.size, err)
	}
	return nil
}

// check reports a file that somebody has cut since: the next read of a missing page would end the
// process.
func (w *mapping) check() error {
	for _, f := range w.files {
		if f.data == nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() < f.size {
			return fmt.Errorf("%s has become shorter, %d bytes of %d, while it was read",
				f.Name(), info.Size(), f.size)
		}
	}
	return nil
}

// Close unmaps and closes the files.
func (w *mapping) Close() {
	for _, f := range w.files {
		if f.data != nil {
			syscall.Munmap(f.data)
		}
		f.File.Close()
	}
	for _, t := range w.tensors {
		C.free(unsafe.Pointer(t.name))
	}
	for _, p := range w.copies {
		C.free(p)
	}
	w.pins.Unpin()
}
