package gguf

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/checkpoint"
)

// TestAffine checks that the elements of an imported quantised weight, read back from the folder,
// equal the dequantised elements of the file bit for bit; those of types with groups of 16 are
// within half a step, where a step is 1/127 of the largest element of 32.
func TestAffine(t *testing.T) {
	f := open(t, "quants.gguf")
	m := &model{config: map[string]any{"model_type": "llama", "vocab_size": 8, "hidden_size": 4,
		"num_hidden_layers": 1, "intermediate_size": 8, "num_attention_heads": 2}}
	for i := range f.Tensors {
		if src := &f.Tensors[i]; src.Type.affineBits() != 0 &&
			!strings.HasSuffix(src.Name, ".want") {
			m.tensors = append(m.tensors, tensor{name: src.Name + ".weight", src: src})
		}
	}
	m.config["quantization"] = m.quantization()
	dir := t.TempDir()
	if err := checkpoint.Write(dir, m.config, m.weights(t.Context(), f, nil)); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.tensors) != 15 || c.Config.Quantization.Bits != 8 ||
		c.Config.Quantization.Layers["Q5_0"].Bits != 5 {
		t.Errorf("%d quantised tensors, %+v", len(m.tensors), c.Config.Quantization)
	}
	for _, x := range m.tensors {
		got, _, err := c.Float32(x.name)
		if err != nil {
			t.Fatal(err)
		}
		want := all(t, f, x.src)
		for i := range want {
			slack := float32(0)
			if slices.Contains([]Type{Q2_K, Q3_K, Q6_K}, x.src.Type) {
				for _, v := range want[i/32*32:][:32] {
					slack = max(slack, float32(math.Abs(float64(v))))
				}
				slack *= 0.5 / 126
			}
			if d := float32(math.Abs(float64(got[i] - want[i]))); !(d <= slack) {
				t.Errorf("%s: element %d is %v, want %v within %v",
					x.src.Name, i, got[i], want[i], slack)
				break
			}
		}
	}
}
