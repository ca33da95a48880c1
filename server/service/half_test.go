//go:build mlx

package service

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"loadstone/engine/catalog"
	"loadstone/engine/checkpoint"
)

// TestRefMatchesMLXHalf does what TestRefMatchesMLX does, with SmolLM2 in bfloat16 and in float16.
// ref widens such weights to float32, and MLX's CPU kernels keep them.
func TestRefMatchesMLXHalf(t *testing.T) {
	src, err := catalog.Open("smollm2")
	if err != nil {
		t.Skip(err) // the error says how to get the model
	}
	for _, dtype := range []string{"BF16", "F16"} {
		t.Run(dtype, func(t *testing.T) {
			dir := rounded(t, src.FS, dtype)
			folder, err := catalog.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			ref := openForParity(t, folder, BackendRef, "f32", parityBlocks)
			mlx := openForParity(t, folder, BackendMLX, "f32", parityBlocks)
			paritySteps(t, ref, mlx, 40, 8, parityTolerance, func(at int32, want, got []float32) {
				if argmax(want) != argmax(got) {
					t.Fatalf("position %d: ref says %d, mlx %d", at, argmax(want), argmax(got))
				}
			})
		})
	}
}

// rounded returns a checkpoint's folder with all its tensors in numbers of 16 bits.
func rounded(t *testing.T, from fs.FS, dtype string) string {
	t.Helper()
	c, err := checkpoint.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []checkpoint.Tensor
	for _, name := range c.Names() {
		if strings.HasSuffix(name, ".scales") || strings.HasSuffix(name, ".biases") {
			continue
		}
		data, shape, err := c.Float32(name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors,
			checkpoint.Tensor{Name: name, DType: dtype, Shape: shape,
				Data: func() ([]float32, error) { return data, nil }})
	}
	text, err := fs.ReadFile(from, "config.json")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&config); err != nil {
		t.Fatal(err)
	}
	delete(config, "quantization")
	delete(config, "quantization_config")
	dir := filepath.Join(t.TempDir(), "half")
	if err := checkpoint.Write(dir, config, tensors); err != nil {
		t.Fatal(err)
	}
	return dir
}
