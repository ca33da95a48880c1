package gguf

import "fmt"

// These numbers are hard-coded in llama.cpp for Gemma 3, so files may leave them out.
const (
	gemma3Pattern      = 6              // every sixth layer attends globally
	gemma3SlidingTheta = float32(10000) // RoPE base of the sliding layers
	gemma3Layers27B    = 62             // the size with an attention scale of its own
)

// readDims reads the sizes of a network. All are at least 1.
func readDims(f *File, arch string) (dims, error) {
	var d dims
	key := func(s string) string { return arch + "." + s }
	for name, dst := range map[string]*int{
		"block_count":          &d.layers,
		"embedding_length":     &d.hidden,
		"attention.head_count": &d.heads,
		"feed_forward_length":  &d.intermediate,
	} {
		if err := positive(f.Meta, key(name), dst); err != nil {
			return d, err
		}
	}
	d.kvHeads = d.heads
	if k := key("attention.head_count_kv"); f.Meta.Has(k) {
		if err := positive(f.Meta, k, &d.kvHeads); err != nil {
			return d, err
		}
	}
	if d.heads%d.kvHeads != 0 {
		return d, fmt.Errorf("%d attention heads cannot share %d key heads", d.heads, d.kvHeads)
	}
	d.headDim = d.hidden / d.heads
	if k := key("attention.key_length"); f.Meta.Has(k) {
		if err := positive(f.Meta, k, &d.headDim); err != nil {
			return d, err
		}
	}
	if v, err := f.Meta.Int(key("attention.value_length")); err == nil && v != d.headDim {
		return d, fmt.Errorf("a head has values of %d and keys of %d elements; only equal numbers can be imported",
			v, d.headDim)
	}
	if r, err := f.Meta.Int(key("rope.dimension_count")); err == nil && r != d.headDim {
		return d, fmt.Errorf("RoPE rotates %d of a head's %d elements; only models that rotate all can be imported",
			r, d.headDim)
	}
	if d.headDim == 0 || d.headDim%2 != 0 {
		return d, fmt.Errorf("a head has %d elements, which RoPE cannot halve", d.headDim)
	}
	tokens, err := f.Meta.Strings("tokenizer.ggml.tokens")
	if err != nil {
		return d, err
	}
	if d.vocab = len(tokens); d.vocab == 0 {
		return d, fmt.Errorf("the vocabulary is empty")
	}
	return d, nil
}

// positive reads an integer that must not be 0 into dst.
func positive(m Metadata, key string, dst *int) error {
	n, err := m.Int(key)
	if err == nil && n == 0 {
		err = fmt.Errorf("metadata key %q is 0", key)
	}
	*dst = n
	return err
}

// config makes the object of config.json.
func config(f *File, arch string, d dims) (map[string]any, error) {
	context, err := f.Meta.Int(arch + ".context_length")
	if err != nil {
		return nil, err
	}
	eps, err := f.Meta.Float(arch + ".attention.layer_norm_rms_epsilon")
	if err != nil {
		return nil, err
	}
	theta, err := floatOr(f.Meta, arch+".rope.freq_base", float32(10000))
	if err != nil {
		return nil, err
	}
	_, untied := f.Tensor("output.weight")
	c := map[string]any{
		"vocab_size":              d.vocab,
		"hidden_size":             d.hidden,
		"intermediate_size":       d.intermediate,
		"num_hidden_layers":       d.layers,
		"num_attention_heads":     d.heads,
		"num_key_value_heads":     d.kvHeads,
		"head_dim":                d.headDim,
		"max_position_embeddings": context,
		"rms_norm_eps":            eps,
		"rope_theta":              theta,
		"tie_word_embeddings":     !untied,
		"attention_bias":          false,
		"torch_dtype":             "float32",
	}
	if err := ropeScaling(f, arch, c); err != nil {
		return nil, err
	}
	ids, err := specialIDs(f.Meta, d.vocab)
	if err != nil {
		return nil, err
	}
	ids.addTo(c)
	if arch == "gemma3" {
		return c, gemma3Config(f, d, c)
	}
	c["model_type"], c["architectures"] = "llama", []string{"LlamaForCausalLM"}
	c["hidden_act"], c["mlp_bias"] = "silu", false
	return c, nil
}

// gemma3Config adds what is particular to Gemma 3 to config.json.
func gemma3Config(f *File, d dims, c map[string]any) error {
	window, err := f.Meta.Int("gemma3.attention.sliding_window")
	if err != nil {
		return err
	}
	slidingTheta, err := floatOr(f.Meta, "gemma3.rope.freq_base_swa", gemma3SlidingTheta)
	if err != nil {
		return err
	}
	if k := "gemma3.attention.sliding_window_pattern"; f.Meta.Has(k) {
		if n, err := f.Meta.Int(k); err != nil || n != gemma3Pattern {
			return fmt.Errorf("%s is %v; only models in which every sixth layer attends globally can be imported",
				k, f.Meta[k])
		}
	}
	kinds := make([]string, d.layers)
	for i := range kinds {
		kinds[i] = "sliding_attention"
		if (i+1)%gemma3Pattern == 0 {
			kinds[i] = "full_attention"
		}
	}
	c["model_type"], c["architectures"] = "gemma3_text", []string{"Gemma3ForCausalLM"}
	c["hidden_activation"] = "gelu_pytorch_tanh"
	c["rope_local_base_freq"] = slidingTheta
	c["sliding_window"] = window
	c["sliding_window_pattern"] = gemma3Pattern
	c["layer_types"] = kinds
	c["query_pre_attn_scalar"] = d.headDim
	if d.layers == gemma3Layers27B {
		c["query_pre_attn_scalar"] = d.hidden / d.heads
	}
	return nil
}

// ropeScaling copies linear RoPE scaling to config.json. It refuses other kinds, because they
// change the frequencies in ways that the metadata does not describe in full.
func ropeScaling(f *File, arch string, c map[string]any) error {
	kind := "none"
	if k := arch + ".rope.scaling.type"; f.Meta.Has(k) {
		var err error
		if kind, err = f.Meta.Text(k); err != nil {
			return err
		}
	}
	_, tabulated := f.Tensor("rope_freqs.weight")
	switch {
	case tabulated || kind != "none" && kind != "linear":
		return fmt.Errorf("RoPE scaling of this kind (%s) cannot be imported", kind)
	case kind == "linear":
		factor, err := f.Meta.Float(arch + ".rope.scaling.factor")
		if err != nil {
			return err
		}
		c["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
	}
	return nil
}

// floatOr returns the float of a key, or def if the key does not exist.
func floatOr(m Metadata, key string, def float32) (any, error) {
	if !m.Has(key) {
		return def, nil
	}
	return m.Float(key)
}

// ids are the tokens with a role. -1 stands for no token.
type ids struct{ bos, eos, eot, unk, pad int }

// specialIDs reads the ids of tokens with a role, which must be below vocab.
func specialIDs(m Metadata, vocab int) (ids, error) {
	var s ids
	for name, dst := range map[string]*int{
		"bos": &s.bos, "eos": &s.eos, "eot": &s.eot, "unknown": &s.unk, "padding": &s.pad,
	} {
		key := "tokenizer.ggml." + name + "_token_id"
		*dst = -1
		if !m.Has(key) {
			continue
		}
		id, err := m.Int(key)
		if err == nil && id >= vocab {
			err = fmt.Errorf("%s is %d, beyond the vocabulary of %d", key, id, vocab)
		}
		if err != nil {
			return s, err
		}
		*dst = id
	}
	return s, nil
}

// addTo adds the ids to config.json or generation_config.json. If there are two end tokens,
// eos_token_id is a list.
func (s ids) addTo(c map[string]any) {
	if s.bos >= 0 {
		c["bos_token_id"] = s.bos
	}
	switch {
	case s.eos >= 0 && s.eot >= 0 && s.eot != s.eos:
		c["eos_token_id"] = []int{s.eos, s.eot}
	case s.eos >= 0:
		c["eos_token_id"] = s.eos
	case s.eot >= 0:
		c["eos_token_id"] = s.eot
	}
	if s.pad >= 0 {
		c["pad_token_id"] = s.pad
	}
}
