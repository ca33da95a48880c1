package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
)

// Checkpoint is an open model folder.
type Checkpoint struct {
	Config  Config
	files   []*file
	entries map[string]entry
}

// Open opens the folder at the root of fsys: config.json, and model.safetensors or the shards that
// model.safetensors.index.json names. Only headers are read.
func Open(fsys fs.FS) (_ *Checkpoint, err error) {
	c := &Checkpoint{entries: map[string]entry{}}
	if c.Config, err = readConfig(fsys); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	names, err := shards(fsys)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f, entries, err := openSafetensors(fsys, name)
		if err != nil {
			return nil, err
		}
		c.files = append(c.files, f)
		for _, e := range entries {
			if old, ok := c.entries[e.Name]; ok {
				return nil, fmt.Errorf("tensor %q is in both %s and %s", e.Name, old.file.name, name)
			}
			c.entries[e.Name] = e
		}
	}
	return c, nil
}

func shards(fsys fs.FS) ([]string, error) {
	const index = "model.safetensors.index.json"
	data, err := fs.ReadFile(fsys, index)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{"model.safetensors"}, nil
	}
	if err != nil {
		return nil, err
	}
	var v struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	files := slices.Compact(slices.Sorted(maps.Values(v.WeightMap)))
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: names no file", index)
	}
	return files, nil
}

// Close closes the folder's files.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.closer.Close())
	}
	c.files = nil
	return errors.Join(errs...)
}

// Names are the tensors' names, sorted.
func (c *Checkpoint) Names() []string { return slices.Sorted(maps.Keys(c.entries)) }

// Has tells whether there is a tensor of that name.
func (c *Checkpoint) Has(name string) bool { _, ok := c.entries[name]; return ok }

// Float32 reads a tensor as float32 values, row-major. An affine-quantised one, stored as NAME with NAME's sibling
// scales and biases, is dequantised and has the shape it had before.
func (c *Checkpoint) Float32(name string) ([]float32, []int, error) {
	e, ok := c.entries[name]
	if !ok {
		return nil, nil, fmt.Errorf("tensor %q is missing", name)
	}
	values, shape, err := c.float32(e)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: tensor %q: %w", e.file.name, name, err)
	}
	return values, shape, nil
}

func (c *Checkpoint) float32(e entry) ([]float32, []int, error) {
	if e.Dtype == U32 {
		return c.dequantise(e)
	}
	if e.Dtype.size() == 0 {
		return nil, nil, fmt.Errorf("element type %s; F32, F16, BF16 and MLX's affine U32 can be read", e.Dtype)
	}
	raw, err := e.read()
	if err != nil {
		return nil, nil, err
	}
	values := make([]float32, len(raw)/int(e.Dtype.size()))
	for i := range values {
		switch e.Dtype {
		case F32:
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		case BF16:
			values[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		case F16:
			values[i] = float16(binary.LittleEndian.Uint16(raw[2*i:]))
		}
	}
	return values, e.Shape, nil
}

func (e entry) read() ([]byte, error) {
	raw := make([]byte, e.Bytes())
	_, err := e.file.ReadAt(raw, e.begin)
	return raw, err
}

// float16 widens an IEEE 754 half: exact for every value.
func float16(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp == 0: // zero, subnormal
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}
