package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"loadstone/engine/internal/modelfile"
)

// maxHeader is the format's own limit on the header, in bytes.
const maxHeader = 100_000_000

// maxName (bytes) and maxDims are limits of our own that keep error messages readable.
const maxName, maxDims = 1024, 16

// dtypeSize has the bytes of an element. A file may hold tensors of all these types; only few of
// them can be read as floats.
var dtypeSize = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2,
	"BF16": 2,
	"U32":  4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}

// Entry is one tensor of a safetensors header that was found consistent: its shape and type take
// End-Begin bytes, and the file has them all.
type Entry struct {
	Name, File string
	DType      string // "F32", "F16", "BF16", "U32" and others, as the format names them
	Shape      []int
	Begin, End int64 // bytes Begin to End-1 of the file

	elements     int
	quantization Quantization // of a weight whose shape has been compared with its scales
}

// parseHeader reads the header of a safetensors file of size bytes: its length as a little-endian
// uint64, then JSON. As the format demands, the tensors must cover the rest of the file without gap
// or overlap (https://github.com/huggingface/safetensors#format).
func parseHeader(r io.Reader, size int64) ([]*Entry, error) {
	beginning := make([]byte, min(size, modelfile.MistakenBytes))
	if _, err := io.ReadFull(r, beginning); err != nil {
		return nil, err
	}
	if err := modelfile.Mistaken(beginning); err != nil {
		return nil, fmt.Errorf("it %w", err)
	}
	if size < 8 {
		return nil, fmt.Errorf("%d bytes are too few for a safetensors file; get it again", size)
	}
	n := binary.LittleEndian.Uint64(beginning)
	r = io.MultiReader(bytes.NewReader(beginning[8:]), r)
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("header of %d bytes in a file of %d: "+
			"it is truncated or not a safetensors file; get it again", n, size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	entries, err := parseEntries(header)
	if err != nil {
		return nil, err
	}
	data := size - 8 - int64(n)
	for _, e := range entries {
		if err := e.check(data); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", e.Name, err)
		}
	}
	// An empty tensor has the offset of the one after it, and has to come first.
	slices.SortFunc(entries, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End))
	})
	var at int64
	for _, e := range entries {
		if e.Begin != at {
			return nil, fmt.Errorf("tensor %s begins at byte %d of the data, "+
				"the one before it ends at %d: the file is damaged; get it again",
				e.Name, e.Begin, at)
		}
		at = e.End
		e.Begin += 8 + int64(n)
		e.End += 8 + int64(n)
	}
	if at != data {
		return nil, fmt.Errorf("the tensors end at byte %d of %d bytes of data: "+
			"the file is damaged; get it again", at, data)
	}
	return entries, nil
}

// parseEntries reads the header's object key by key, because encoding/json into a map would drop a
// key that is there twice without a word. Begin and End of the result count from the first byte of
// the data.
func parseEntries(header []byte) ([]*Entry, error) {
	d := json.NewDecoder(bytes.NewReader(header))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("the header is not a JSON object")
	}
	var entries []*Entry
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		name := key.(string) // Token returns nothing else where a key is due
		if len(name) > maxName {
			return nil, fmt.Errorf("a tensor's name of %d bytes; at most %d are taken",
				len(name), maxName)
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
		var x struct {
			DType   string   `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}
		if err := d.Decode(&x); err != nil {
			return nil, fmt.Errorf("header: tensor %s: %w", name, err)
		}
		if len(x.Shape) > maxDims {
			return nil, fmt.Errorf("header: tensor %s has %d dimensions; at most %d are taken",
				name, len(x.Shape), maxDims)
		}
		entries = append(entries, &Entry{
			Name: name, DType: x.DType, Shape: x.Shape, Begin: x.Offsets[0], End: x.Offsets[1],
		})
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimRight(header[d.InputOffset():], " "); len(rest) != 0 {
		return nil, fmt.Errorf("the header goes on after its JSON object")
	}
	return entries, nil
}

// check makes sure that a tensor's offsets, which count within the data bytes of data, are what its
// shape and type take. It sets elements.
func (e *Entry) check(data int64) error {
	size, ok := dtypeSize[e.DType]
	if !ok {
		return fmt.Errorf("dtype %q is unknown", e.DType)
	}
	if e.Begin < 0 || e.End < e.Begin || e.End > data {
		return fmt.Errorf("bytes %d to %d of %d bytes of data: "+
			"the file is truncated or damaged; get it again", e.Begin, e.End, data)
	}
	for _, n := range e.Shape {
		if n < 0 {
			return fmt.Errorf("shape %v", e.Shape)
		}
	}
	elements := int64(1)
	if slices.Contains(e.Shape, 0) {
		elements = 0
	} else {
		for _, n := range e.Shape {
			// No product may grow past the bytes of the file, so none overflows.
			if elements *= int64(n); int64(n) > data || elements > data {
				return fmt.Errorf("shape %v of %s is more than the %d bytes of data",
					e.Shape, e.DType, data)
			}
		}
	}
	if elements*size != e.End-e.Begin {
		return fmt.Errorf("shape %v of %s takes %d bytes, not %d",
			e.Shape, e.DType, elements*size, e.End-e.Begin)
	}
	e.elements = int(elements)
	return nil
}
