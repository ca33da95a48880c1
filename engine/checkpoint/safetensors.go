package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// maxHeader is the format's own limit on the header, in bytes.
const maxHeader = 100_000_000

// Limits of our own, so that error messages stay readable.
const maxName, maxDims = 1024, 16

// dtypeSize is what an element takes, in bytes. Tensors of all these may be in a file; few can be read as floats.
var dtypeSize = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
	"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}

// tensor is one entry of a header that was found consistent: shape and dtype make end-begin bytes, all in the file.
type tensor struct {
	name, file string
	dtype      string
	shape      []int
	elements   int
	begin, end int64 // in the file
}

// parseHeader reads the header of a safetensors file of size bytes: its length as a little-endian uint64, then JSON.
// As the format demands, the tensors must cover the rest of the file without gap or overlap
// (https://github.com/huggingface/safetensors#format).
func parseHeader(r io.Reader, size int64) ([]*tensor, error) {
	var prefix [8]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, fmt.Errorf("%d bytes are too few for a safetensors file", size)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("header of %d bytes in a file of %d: it is cut short or no safetensors file; get it again", n, size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	tensors, err := parseEntries(header)
	if err != nil {
		return nil, err
	}
	data := size - 8 - int64(n)
	for _, t := range tensors {
		if err := t.check(data); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.name, err)
		}
	}
	// Empty tensors share their offset with the next one: they come first.
	slices.SortFunc(tensors, func(a, b *tensor) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	var at int64
	for _, t := range tensors {
		if t.begin != at {
			return nil, fmt.Errorf("tensor %s begins at byte %d of the data, the one before it ends at %d: the file is damaged; get it again", t.name, t.begin, at)
		}
		at = t.end
		t.begin += 8 + int64(n)
		t.end += 8 + int64(n)
	}
	if at != data {
		return nil, fmt.Errorf("the tensors end at byte %d of %d bytes of data: the file is damaged; get it again", at, data)
	}
	return tensors, nil
}

// parseEntries reads the header's object key by key, because encoding/json into a map would drop duplicates unseen.
func parseEntries(header []byte) ([]*tensor, error) {
	d := json.NewDecoder(bytes.NewReader(header))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("the header is no JSON object")
	}
	var tensors []*tensor
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		name := key.(string) // where a key is due, Token has nothing else
		if len(name) > maxName {
			return nil, fmt.Errorf("a tensor's name of %d bytes; at most %d are taken", len(name), maxName)
		}
		if seen[name] {
			return nil, fmt.Errorf("tensor %s is there twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			var metadata map[string]string
			if err := d.Decode(&metadata); err != nil {
				return nil, fmt.Errorf("header: __metadata__: %w", err)
			}
			continue
		}
		var e struct {
			DType   string   `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("header: tensor %s: %w", name, err)
		}
		if len(e.Shape) > maxDims {
			return nil, fmt.Errorf("header: tensor %s has %d dimensions; at most %d are taken", name, len(e.Shape), maxDims)
		}
		tensors = append(tensors, &tensor{name: name, dtype: e.DType, shape: e.Shape, begin: e.Offsets[0], end: e.Offsets[1]})
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimRight(header[d.InputOffset():], " "); len(rest) != 0 {
		return nil, fmt.Errorf("the header goes on after its JSON object")
	}
	return tensors, nil
}

// check makes sure that a tensor's offsets, in data bytes, are what its shape and dtype take.
func (t *tensor) check(data int64) error {
	size, ok := dtypeSize[t.dtype]
	if !ok {
		return fmt.Errorf("dtype %q is unknown", t.dtype)
	}
	if t.begin < 0 || t.end < t.begin || t.end > data {
		return fmt.Errorf("bytes %d to %d of %d bytes of data: the file is cut short or damaged; get it again", t.begin, t.end, data)
	}
	elements := int64(1)
	for _, n := range t.shape {
		if n < 0 {
			return fmt.Errorf("shape %v", t.shape)
		}
	}
	if !slices.Contains(t.shape, 0) {
		for _, n := range t.shape {
			// No product may grow past what the file holds, so none overflows.
			if elements *= int64(n); int64(n) > data || elements > data {
				return fmt.Errorf("shape %v of %s is more than the %d bytes of data", t.shape, t.dtype, data)
			}
		}
	} else {
		elements = 0
	}
	if elements*size != t.end-t.begin {
		return fmt.Errorf("shape %v of %s takes %d bytes, not %d", t.shape, t.dtype, elements*size, t.end-t.begin)
	}
	t.elements = int(elements)
	return nil
}
