package gguf_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"loadstone/engine/gguf"
)

// The example writes a file with one metadata key and one tensor of 2 rows, 64 elements in Q8_0,
// and reads it.
func Example() {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if s, ok := v.(string); ok { // a string is its length and its bytes
				binary.Write(&b, binary.LittleEndian, uint64(len(s)))
				b.WriteString(s)
				continue
			}
			binary.Write(&b, binary.LittleEndian, v)
		}
	}
	b.WriteString("GGUF")
	put(uint32(3), uint64(1), uint64(1)) // version, tensors, metadata keys
	put("general.architecture", uint32(8), "llama")
	put("blk.0.scale", uint32(2), uint64(32), uint64(2), uint32(gguf.Q8_0), uint64(0))
	b.Write(make([]byte, -b.Len()&31)) // tensors' data is aligned to 32 bytes
	for row := range 2 {
		put(uint16(0x3800)) // the scale 0.5 as binary16
		for i := range 32 {
			put(int8(i * (row + 1)))
		}
	}
	dir, err := os.MkdirTemp("", "gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		log.Fatal(err)
	}

	f, err := gguf.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	architecture, err := f.Meta.Architecture()
	if err != nil {
		log.Fatal(err)
	}
	t, _ := f.Tensor("blk.0.scale")
	row := make([]float32, t.Columns())
	if err := f.ReadRows(t, 1, row); err != nil {
		log.Fatal(err)
	}
	fmt.Println(architecture, t.Type, t.Shape)
	fmt.Println(row[:5])
	// Output:
	// llama Q8_0 [2 32]
	// [0 1 2 3 4]
}
