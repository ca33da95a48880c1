//go:build mlx

package metal

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// A mapping is the weights of a model folder, mapped into memory read-only: a load reads them where the system keeps them,
// and gives each tensor's pages back once it has been read.
type mapping struct {
	files   []mappedFile
	tensors []C.ls_tensor
	bytes   int64 // of all tensors
	pins    runtime.Pinner
}

type mappedFile struct {
	*os.File
	size int64
	data []byte
}

var tensorTypes = map[string]C.int32_t{"F32": C.LS_F32, "F16": C.LS_F16, "BF16": C.LS_BF16, "U32": C.LS_U32}

// openWeights maps the safetensors files of a folder after it has checked their headers. Close must be called.
func openWeights(dir string) (*mapping, error) {
	paths, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	w := new(mapping)
	where := map[string]string{}
	for _, path := range paths {
		tensors, err := w.add(path)
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, t := range tensors {
			if other := where[t.name]; other != "" {
				w.Close()
				return nil, fmt.Errorf("%s: tensor %s is in %s as well", path, t.name, other)
			}
			where[t.name] = path
		}
	}
	return w, nil
}

// add maps one file.
func (w *mapping) add(path string) ([]stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	file := mappedFile{File: f}
	defer func() { w.files = append(w.files, file) }() // for Close, whatever happens
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	tensors, err := readHeader(f, info.Size())
	if err != nil {
		return nil, err
	}
	file.size = info.Size()
	if file.data, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("mapping %d bytes: %w", info.Size(), err)
	}
	for _, t := range tensors {
		typ, ok := tensorTypes[t.dtype]
		if !ok {
			typ = C.LS_OTHER_TYPE
		}
		c := C.ls_tensor{name: C.CString(t.name), _type: typ, dims: C.int32_t(len(t.shape)), bytes: C.int64_t(t.end - t.begin)}
		if t.end > t.begin {
			c.data = unsafe.Pointer(&file.data[t.begin])
		}
		if len(t.shape) > 0 {
			c.shape = (*C.int64_t)(&t.shape[0])
			w.pins.Pin(&t.shape[0])
		}
		w.tensors = append(w.tensors, c)
		w.bytes += t.end - t.begin
	}
	return tensors, nil
}

// check reports a file that somebody has cut since: the next look at what is gone would end the process.
func (w *mapping) check() error {
	for _, f := range w.files {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() < f.size {
			return fmt.Errorf("%s has become shorter, %d bytes of %d, while it was read", f.Name(), info.Size(), f.size)
		}
	}
	return nil
}

// Close unmaps the files.
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
	w.pins.Unpin()
}
