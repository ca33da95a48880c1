package gguf

import "fmt"

// ropeTensors are the tensors that hold factors of RoPE's frequencies: of Llama 3.1 and later, and
// of LongRoPE for long and for short contexts.
var ropeTensors = []string{
	"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
}

// ropeTables reads those of ropeTensors that a file has, by their names.
func ropeTables(f *File) (map[string][]float32, error) {
	tables := map[string][]float32{}
	for _, name := range ropeTensors {
		t, ok := f.Tensor(name)
		if !ok {
			continue
		}
		tables[name] = make([]float32, t.Rows()*t.Columns())
		if err := f.ReadRows(t, 0, tables[name]); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

// ropeScaling adds RoPE's scaling to config.json.
func ropeScaling(f *File, arch string, c map[string]any) error {
	kind := "none"
	if k := arch + ".rope.scaling.type"; f.Meta.Has(k) {
		var err error
		if kind, err = f.Meta.Text(k); err != nil {
			return err
		}
	}
	tables, err := ropeTables(f)
	if err != nil {
		return err
	}
	scaling := map[string]any{}
	put := func(config, meta string) {
		if v, ok := f.Meta[arch+".rope.scaling."+meta]; ok {
			scaling[config] = v
		}
	}
	put("factor", "factor")
	switch freqs := tables["rope_freqs.weight"]; {
	case freqs != nil && kind == "none":
		// config.json has no way to write down the table itself, but LongRoPE's, which divides
		// frequencies as llama.cpp does.
		scaling = map[string]any{"rope_type": "longrope", "factor": 1.0, "attention_factor": 1.0,
			"original_max_position_embeddings": c["max_position_embeddings"],
			"short_factor":                     freqs, "long_factor": freqs}
	case freqs != nil:
		return fmt.Errorf("RoPE is scaled twice, by %s and by the table rope_freqs.weight", kind)
	case tables["rope_factors_long.weight"] != nil:
		delete(scaling, "factor")
		scaling["rope_type"] = "longrope"
		scaling["long_factor"] = tables["rope_factors_long.weight"]
		scaling["short_factor"] = tables["rope_factors_short.weight"]
		put("original_max_position_embeddings", "original_context_length")
		put("attention_factor", "attn_factor")
		if n := scaling["original_max_position_embeddings"]; n != nil {
			c["original_max_position_embeddings"] = n
		}
	case kind == "none":
		if n := f.Meta[arch+".rope.scaling.original_context_length"]; n != nil && arch == "phi3" {
			c["original_max_position_embeddings"] = n
		}
		return nil
	case kind == "linear":
		scaling["rope_type"] = "linear"
	case kind == "yarn":
		scaling["rope_type"] = "yarn"
		put("original_max_position_embeddings", "original_context_length")
		put("beta_fast", "yarn_beta_fast")
		put("beta_slow", "yarn_beta_slow")
		put("attention_factor", "yarn_attn_factor")
		put("attention_factor", "attn_factor")
	default:
		return fmt.Errorf("RoPE scaling of this kind (%s) cannot be imported", kind)
	}
	c["rope_scaling"] = scaling
	return nil
}
