// Package checkpoint reads and writes model folders in the form of Hugging Face and mlx-community:
// config.json, and the weights as safetensors, either in the shards that
// model.safetensors.index.json lists or, without an index, in every model*.safetensors.
//
// It is the only place that reads these files, and the only one that knows which tensors a network
// has, by which names: Network checks that they are all there. Package ref then takes the tensors
// as float32, and package metal maps the files that Entries describes into memory.
//
// The folders come from strangers. Every number is checked against the sizes of the files before
// anything is allocated by it, and a folder that contradicts itself is an error that names the file
// and the tensor.
package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"loadstone/engine/internal/modelfile"
)

// Checkpoint is an opened folder. It holds no file open: Float32 opens the one it needs, so there
// is nothing to close.
type Checkpoint struct {
	Config Config

	// Progress, unless it is nil, is called with the bytes of tensors that Float32 has read so far
	// and with the bytes of all tensors. It may be called from several goroutines at once if
	// Float32 is.
	Progress func(done, total int64)

	fsys    fs.FS
	entries map[string]*Entry
	bytes   int64 // of all tensors
	done    atomic.Int64
}

const (
	configName     = "config.json"
	weightsName    = "model.safetensors"
	weightsPattern = "model*.safetensors"
	indexName      = "model.safetensors.index.json"
)

// Open reads config.json and the headers of the safetensors files at the root of fsys. It refuses a
// folder that no network can be made of: a file is missing, damaged or contradicts another, or the
// architecture is not supported.
func Open(fsys fs.FS) (*Checkpoint, error) {
	data, err := modelfile.Read(fsys, configName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; give a Hugging Face or mlx-community model folder: %w",
			configName, err)
	} else if err != nil {
		return nil, err
	}
	config, err := ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configName, err)
	}
	c := &Checkpoint{Config: config, fsys: fsys, entries: map[string]*Entry{}}
	shards, index, err := weightFiles(fsys)
	if err != nil {
		return nil, err
	}
	for _, shard := range shards {
		if err := c.addFile(shard); err != nil {
			return nil, err
		}
	}
	for name, shard := range index {
		if e := c.entries[name]; e == nil || e.File != shard {
			return nil, fmt.Errorf("%s: tensor %s is not in %s", indexName, name, shard)
		}
	}
	return c, nil
}

// weightFiles returns the names of the safetensors files and, if there is an index, its map from
// tensor to file.
func weightFiles(fsys fs.FS) (shards []string, index map[string]string, err error) {
	data, err := modelfile.Read(fsys, indexName)
	if errors.Is(err, fs.ErrNotExist) {
		shards, err := fs.Glob(fsys, weightsPattern)
		if len(shards) == 0 {
			shards = []string{weightsName} // opening it says what is missing
		}
		return shards, nil, err
	} else if err != nil {
		return nil, nil, err
	}
	var x struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &x); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", indexName, err)
	}
	for name, shard := range x.WeightMap {
		if !fs.ValidPath(shard) || strings.ContainsAny(shard, `/\`) {
			return nil, nil, fmt.Errorf(
				"%s: tensor %s is in %q, which is not a file of this folder",
				indexName, name, shard)
		}
	}
	shards = slices.Sorted(maps.Values(x.WeightMap))
	if len(shards) == 0 {
		return nil, nil, fmt.Errorf("%s: weight_map is empty", indexName)
	}
	return slices.Compact(shards), x.WeightMap, nil
}

// addFile reads the header of one safetensors file.
func (c *Checkpoint) addFile(name string) error {
	f, err := modelfile.Open(c.fsys, name)
	if errors.Is(err, fs.ErrNotExist) && name == weightsName {
		return noWeights(c.fsys, err)
	} else if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there; the folder must hold the weights as safetensors, "+
			"in all the files that %s lists: %w", name, indexName, err)
	} else if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	entries, err := parseHeader(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, e := range entries {
		if other := c.entries[e.Name]; other != nil {
			return fmt.Errorf("%s: tensor %s is in %s as well", name, e.Name, other.File)
		}
		e.File = name
		c.entries[e.Name] = e
		c.bytes += e.End - e.Begin
	}
	return nil
}

// Names lists the stored tensors, sorted. A quantised module has three: its weight, its scales and
// its biases.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.entries)) }

// Has reports whether there is a tensor of this name.
func (c *Checkpoint) Has(name string) bool { return c.entries[name] != nil }

// Entries lists the stored tensors in the order in which they lie in the files, file by file. The
// slices of dimensions are not to be changed.
func (c *Checkpoint) Entries() []Entry { return inFileOrder(c.entries) }

// inFileOrder sorts entries, which get the names that they have in the map.
func inFileOrder(entries map[string]*Entry) []Entry {
	list := make([]Entry, 0, len(entries))
	for name, e := range entries {
		named := *e
		named.Name = name
		list = append(list, named)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Begin, b.Begin),
			cmp.Compare(a.End, b.End), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Float32 reads a stored tensor, row-major. One that is stored as F16 or BF16 is widened, and a
// quantised one is dequantised; the shape is that of the result. The result takes at most 16 times
// the bytes of the file (with weights of 2 bits).
func (c *Checkpoint) Float32(name string) (data []float32, shape []int, err error) {
	return c.float32(name, c.entries)
}

// float32 reads a tensor of some entries.
func (c *Checkpoint) float32(name string, entries map[string]*Entry) ([]float32, []int, error) {
	e, ok := entries[name]
	if !ok {
		return nil, nil, fmt.Errorf("there is no tensor %s", name)
	}
	var data []float32
	var err error
	shape := slices.Clone(e.Shape)
	if module, ok := strings.CutSuffix(name, ".weight"); ok && e.DType == "U32" {
		data, shape, err = c.dequantized(module, e, entries)
	} else {
		data, err = c.floats(e)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: tensor %s: %w", e.File, e.Name, err)
	}
	return data, shape, nil
}

func (c *Checkpoint) floats(e *Entry) ([]float32, error) {
	widen := map[string]func([]float32, []byte) []float32{
		"F32": appendF32, "F16": appendF16, "BF16": appendBF16,
	}[e.DType]
	if widen == nil {
		return nil, fmt.Errorf("dtype %s cannot be read; F32, F16, BF16 and MLX's packed U32 can",
			e.DType)
	}
	out := make([]float32, 0, e.elements)
	err := c.read(e, 64<<10, func(raw []byte) { out = widen(out, raw) })
	return out, err
}

// read passes the bytes of a tensor to use in pieces of size bytes; only the last piece may be
// shorter.
func (c *Checkpoint) read(e *Entry, size int, use func([]byte)) error {
	if e.End == e.Begin {
		return nil
	}
	f, err := c.fsys.Open(e.File)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader
	if at, ok := f.(io.ReaderAt); ok {
		r = io.NewSectionReader(at, e.Begin, e.End-e.Begin)
	} else if _, err := io.CopyN(io.Discard, f, e.Begin); err != nil {
		return err
	} else {
		r = io.LimitReader(f, e.End-e.Begin)
	}
	buf := make([]byte, min(int64(size), e.End-e.Begin))
	for left := e.End - e.Begin; left > 0; left -= int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), left)]
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("the file became shorter while it was read: %w", err)
		}
		use(buf)
		if done := c.done.Add(int64(len(buf))); c.Progress != nil {
			c.Progress(done, c.bytes)
		}
	}
	return nil
}
