// Package checkpoint reads and writes model folders in Hugging Face's and mlx-community's form: config.json, and the
// weights in model.safetensors or in the shards that model.safetensors.index.json lists.
//
// What it reads comes from strangers. Every number is checked against the files' own sizes before anything is allocated
// by it, and a folder that contradicts itself is an error that names the file and the tensor.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Checkpoint is an opened folder. It holds no files open: Float32 opens the one it needs, so there is nothing to close.
type Checkpoint struct {
	Config Config

	// Progress is called, unless it is nil, with how many bytes of tensors have been read, and how many there are. It may be
	// called from several goroutines at once if Float32 is.
	Progress func(done, total int64)

	fsys    fs.FS
	tensors map[string]*tensor
	bytes   int64 // of all tensors
	done    atomic.Int64
}

const (
	configName  = "config.json"
	weightsName = "model.safetensors"
	indexName   = "model.safetensors.index.json"
)

// Open reads config.json and the headers of the safetensors files at fsys's root.
func Open(fsys fs.FS) (*Checkpoint, error) {
	data, err := readSmall(fsys, configName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; give a Hugging Face or mlx-community model folder: %w", configName, err)
	} else if err != nil {
		return nil, err
	}
	config, err := parseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configName, err)
	}
	c := &Checkpoint{Config: config, fsys: fsys, tensors: map[string]*tensor{}}
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
		if t := c.tensors[name]; t == nil || t.file != shard {
			return nil, fmt.Errorf("%s: tensor %s is not in %s", indexName, name, shard)
		}
	}
	return c, nil
}

// weightFiles returns the names of the safetensors files and, if there is one, the index: tensor to file.
func weightFiles(fsys fs.FS) (shards []string, index map[string]string, err error) {
	data, err := readSmall(fsys, indexName)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{weightsName}, nil, nil
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
			return nil, nil, fmt.Errorf("%s: tensor %s is in %q, which is no file of this folder", indexName, name, shard)
		}
	}
	shards = slices.Sorted(maps.Values(x.WeightMap))
	if len(shards) == 0 {
		return nil, nil, fmt.Errorf("%s: weight_map is empty", indexName)
	}
	return slices.Compact(shards), x.WeightMap, nil
}

func (c *Checkpoint) addFile(name string) error {
	f, err := c.fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there; the folder must hold the weights as safetensors: %w", name, err)
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
	tensors, err := parseHeader(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, t := range tensors {
		if other := c.tensors[t.name]; other != nil {
			return fmt.Errorf("%s: tensor %s is in %s as well", name, t.name, other.file)
		}
		t.file = name
		c.tensors[t.name] = t
		c.bytes += t.end - t.begin
	}
	return nil
}

// Names lists the stored tensors, sorted: of a quantised module its weight, its scales and its biases.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.tensors)) }

// Has says whether there is a tensor of this name.
func (c *Checkpoint) Has(name string) bool { return c.tensors[name] != nil }

// Float32 reads a tensor, row-major, widened from F16 or BF16 or dequantised if it is stored so. The shape is that of
// the result. The result takes at most 16 times the bytes of the file (2-bit weights).
func (c *Checkpoint) Float32(name string) (data []float32, shape []int, err error) {
	t, ok := c.tensors[name]
	if !ok {
		return nil, nil, fmt.Errorf("there is no tensor %s", name)
	}
	if module, ok := strings.CutSuffix(name, ".weight"); ok && t.dtype == "U32" {
		data, shape, err = c.dequantized(module, t)
	} else {
		shape = slices.Clone(t.shape)
		data, err = c.floats(t)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: tensor %s: %w", t.file, name, err)
	}
	return data, shape, nil
}

func (c *Checkpoint) floats(t *tensor) ([]float32, error) {
	widen := map[string]func([]float32, []byte) []float32{"F32": appendF32, "F16": appendF16, "BF16": appendBF16}[t.dtype]
	if widen == nil {
		return nil, fmt.Errorf("dtype %s cannot be read; F32, F16, BF16 and MLX's packed U32 can", t.dtype)
	}
	out := make([]float32, 0, t.elements)
	err := c.read(t, 64<<10, func(raw []byte) { out = widen(out, raw) })
	return out, err
}

// read passes a tensor's bytes to use, chunk by chunk; only the last chunk may be shorter.
func (c *Checkpoint) read(t *tensor, chunk int, use func([]byte)) error {
	if t.end == t.begin {
		return nil
	}
	f, err := c.fsys.Open(t.file)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader
	if at, ok := f.(io.ReaderAt); ok {
		r = io.NewSectionReader(at, t.begin, t.end-t.begin)
	} else if _, err := io.CopyN(io.Discard, f, t.begin); err != nil {
		return err
	} else {
		r = io.LimitReader(f, t.end-t.begin)
	}
	buf := make([]byte, min(int64(chunk), t.end-t.begin))
	for left := t.end - t.begin; left > 0; left -= int64(len(buf)) {
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

// readSmall reads a JSON file; none of those needed comes near the limit.
func readSmall(fsys fs.FS, name string) ([]byte, error) {
	const limit = 64 << 20
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && len(data) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return data, err
}
