package checkpoint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// wildExperts is a sound folder of a mixture of three experts, with their matrices one by one or in
// stacks.
func wildExperts(stacked bool) *wild {
	w := wildLlama()
	w.config["model_type"], w.config["head_dim"] = "qwen3_moe", 16
	w.config["num_experts"], w.config["num_experts_per_tok"] = 3, 2
	w.config["moe_intermediate_size"] = 32
	w.tensors = map[string]raw{"lm_head.weight": floats(40, 64)}
	c := Config{Architecture: Architecture{QKNorm: true}, VocabSize: 40, HiddenSize: 64, Layers: 2,
		Heads: 4, KVHeads: 2, HeadDim: 16, Intermediate: 96,
		Experts: 3, ActiveExperts: 2, ExpertIntermediate: 32}
	for _, p := range c.Parameters() {
		list := []Parameter{p}
		if !stacked {
			list = p.Matrices()
		}
		for _, m := range list {
			if m.Stored != "lm_head.weight" {
				w.tensors["model."+m.Stored] = floats(m.Shape...)
			}
		}
	}
	return w
}

// TestExperts: a folder may hold the matrices of experts one by one, as Hugging Face does, or in
// stacks, as mlx-lm does, in floats or quantised; the network has the same tensors.
func TestExperts(t *testing.T) {
	for _, form := range []string{"apart", "stacked", "stacked and quantised"} {
		w := wildExperts(form != "apart")
		if form == "stacked and quantised" {
			for name, x := range w.tensors {
				if module, ok := strings.CutSuffix(name, ".weight"); ok && len(x.shape) == 3 {
					n, rows, columns := x.shape[0], x.shape[1], x.shape[2]
					w.tensors[name] = raw{"U32", []int{n, rows, columns / 8}}
					w.tensors[module+".scales"] = floats(n, rows, columns/32)
					w.tensors[module+".biases"] = floats(n, rows, columns/32)
				}
			}
		}
		_, got, err := network(w.write(t))
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		for layer := range 2 {
			for x := range 3 {
				for name, shape := range map[string][]int{
					"gate": {32, 64}, "up": {32, 64}, "down": {64, 32},
				} {
					name := fmt.Sprintf("layers.%d.experts.%d.%s.weight", layer, x, name)
					if _, is, err := got.Float32(name); err != nil || !slices.Equal(is, shape) {
						t.Errorf("%s: %s has shape %v, %v", form, name, is, err)
					}
				}
			}
		}
		one, two := got.tensors["layers.1.experts.0.up.weight"], got.tensors["layers.1.experts.1.up.weight"]
		if form != "apart" && one.End != two.Begin {
			t.Errorf("%s: experts lie at %d to %d and from %d on", form, one.Begin, one.End, two.Begin)
		}
	}
	for name, c := range map[string]struct {
		stacked bool
		damage  func(w *wild)
		say     string
	}{
		"an expert is missing": {false, func(w *wild) {
			delete(w.tensors, "model.layers.1.mlp.experts.2.up_proj.weight")
		}, "tensor model.layers.1.mlp.experts.2.up_proj.weight is missing"},
		"all are missing": {false, func(w *wild) {
			for name := range w.tensors {
				if strings.Contains(name, ".experts.") {
					delete(w.tensors, name)
				}
			}
		}, "tensor model.layers.0.mlp.switch_mlp.gate_proj.weight is missing, and 5 more"},
		"an expert too few": {true, func(w *wild) {
			w.tensors["model.layers.0.mlp.switch_mlp.up_proj.weight"] = floats(2, 32, 64)
		}, "has shape [2 32 64], config.json asks for [3 32 64]"},
		"an expert too many": {false, func(w *wild) {
			w.tensors["model.layers.0.mlp.experts.3.up_proj.weight"] = floats(32, 64)
		}, "model.layers.0.mlp.experts.3.up_proj.weight has no place"},
		"both": {false, func(w *wild) {
			w.tensors["model.layers.0.mlp.switch_mlp.up_proj.weight"] = floats(3, 32, 64)
		}, "model.layers.0.mlp.switch_mlp.up_proj.weight has no place"},
	} {
		w := wildExperts(c.stacked)
		c.damage(w)
		if _, _, err := network(w.write(t)); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: error %v, want %q", name, err, c.say)
		}
	}
}
