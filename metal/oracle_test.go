//go:build mlx

package metal

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"loadstone/engine/ref/oracle"
)

// TestOracles compares the network of every family with Transformers', in floats and quantised, by
// the CPU kernels and by MLX's own operations.
func TestOracles(t *testing.T) {
	// For quantised weights the kernels round activations to 8 bits, and TestQuantisedKernels says
	// how far that is from floats. Here the weights are widened, or activations have 16 bits.
	const widened, sixteen = 2e-4, 0.1 // of logits of the order of 10
	for _, kind := range oracle.Kinds(t) {
		ways := map[string]struct {
			form      oracle.Form
			opt       options
			tolerance float64
		}{
			"kernels":           {oracle.Form{}, options{}, widened},
			"kernels/quantised": {oracle.Form{Quantised: true}, options{}, widened},
			"kernels/16 bits": {oracle.Form{Quantised: true},
				options{Options: Options{Activations: 16}}, sixteen},
			"graph": {oracle.Form{}, options{graph: true}, widened},
			"graph/quantised": {oracle.Form{Quantised: true}, options{graph: true, native: true},
				widened},
		}
		for _, name := range slices.Sorted(maps.Keys(ways)) { // in one order in all parts
			v := ways[name]
			v.opt.Part = testPart()
			if onGPU() && !v.opt.graph {
				continue
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				if v.tolerance == widened {
					t.Setenv("LOADSTONE_ISA", "float32")
				}
				m, err := open(oracle.Folder(t, kind, v.form), v.opt)
				if split := (*SplitError)(nil); errors.As(err, &split) && v.form.Quantised {
					t.Skip(err) // its quantised groups are as long as the dimension to be split
				}
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				if err := m.AllocKV(8, 8, 8); err != nil {
					t.Fatal(err)
				}
				want, rows := oracle.Logits(t, kind, v.form.Quantised)
				ids := oracle.Prompt(m.Vocab())
				// In two steps, so that the second reads keys that the first has stored.
				s := &sequence{ids: ids, table: []int32{3, 1, 0, 7, 5}}
				step(t, m, []*sequence{s}, []int{len(ids) - rows})
				got := slices.Concat(step(t, m, []*sequence{s}, []int{rows})...)
				off := oracle.Distance(t, got, want)
				t.Logf("largest difference %.2g", off)
				if off > v.tolerance {
					t.Errorf("logits differ from the oracle's by %g, %g allowed", off, v.tolerance)
				}
			})
		}
	}
}

// TestAllLayersSlide: where no layer sees all tokens, a block without its window slot has no KV to
// read or to write.
func TestAllLayersSlide(t *testing.T) {
	m, err := open(oracle.Folder(t, "mistral", oracle.Form{}), options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.AllocKV(2, 2, 8); err != nil {
		t.Fatal(err)
	}
	if global, sliding := m.KVBytesPerToken(); global != 0 || sliding == 0 {
		t.Fatalf("a token takes %d and %d bytes", global, sliding)
	}
	if err := errors.Join(m.ReadKV(1, -1, 8, nil), m.WriteKV(1, -1, 8, nil)); err != nil {
		t.Error(err)
	}
}
