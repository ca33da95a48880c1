package gguf

import (
	"fmt"

	"loadstone/engine/checkpoint"
)

// An Inspection describes the checkpoint that Import would make of a GGUF file.
type Inspection struct {
	Config      checkpoint.Config
	WeightBytes int64 // of the folder that Import would write
	HasTemplate bool
}

// Inspect returns a description of what Import would make of a file, or the error with which
// Import would refuse it. It reads no weights.
func Inspect(path string) (Inspection, error) {
	f, err := Open(path)
	if err != nil {
		return Inspection{}, err
	}
	defer f.Close()
	m, err := newModel(f)
	if err == nil {
		_, err = tokenizer(f.Meta)
	}
	if err != nil {
		return Inspection{}, fmt.Errorf("%s: %w", path, err)
	}
	i := Inspection{Config: m.parsed, HasTemplate: f.Meta.Has("tokenizer.chat_template")}
	for _, t := range m.tensors {
		n := int64(t.src.Rows()) * int64(t.src.Columns())
		if t.quantised() {
			i.WeightBytes += n*int64(t.src.Type.affineBits())/8 + n/affineGroup*8
		} else {
			i.WeightBytes += 4 * n
		}
	}
	return i, nil
}
