package gguf

import (
	"fmt"

	"loadstone/engine/checkpoint"
)

// These numbers are hard-coded in llama.cpp, so files leave them out.
const (
	gemma3Pattern      = 6              // every sixth layer attends globally
	gemma3SlidingTheta = float32(10000) // RoPE base of the sliding layers
)

// gemma27B has the numbers of layers of the sizes of Gemma that have an attention scale of their
// own.
var gemma27B = map[string]int{"gemma2": 46, "gemma3": 62}

// A key of metadata becomes a key of config.json.
type key struct{ meta, config string }

// sizeKeys lists the keys that every file must have. Their values are at least 1.
var sizeKeys = []key{
	{"block_count", "num_hidden_layers"},
	{"embedding_length", "hidden_size"},
	{"attention.head_count", "num_attention_heads"},
	{"feed_forward_length", "intermediate_size"},
	{"context_length", "max_position_embeddings"},
}

// otherKeys are copied where the file has them.
var otherKeys = []key{
	{"attention.head_count_kv", "num_key_value_heads"},
	{"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
	{"attn_logit_softcapping", "attn_logit_softcapping"},
	{"final_logit_softcapping", "final_logit_softcapping"},
}

// strangeKeys say that a network is not one of those that checkpoint describes, unless they are 0.
var strangeKeys = []string{
	"expert_count", "logit_scale", "residual_scale", "embedding_scale", "attention.scale",
	"attention.clamp_kqv", "attention.max_alibi_bias", "use_parallel_residual",
	"rope.dimension_sections", "expert_shared_count", "expert_shared_feed_forward_length",
	"expert_group_count", "leading_dense_block_count",
}

// checkStrange refuses a network for which one of strangeKeys is set.
func checkStrange(m Metadata, g checkpoint.GGUF) error {
	arch := g.Architecture
	for _, k := range strangeKeys {
		if k == "expert_count" && g.Experts {
			continue
		}
		switch v := m[arch+"."+k].(type) {
		case nil:
		case bool:
			if v {
				return fmt.Errorf("%s.%s is set; such models cannot be imported", arch, k)
			}
		default:
			if fmt.Sprint(v) != "0" {
				return fmt.Errorf("%s.%s is %v; such models cannot be imported", arch, k, v)
			}
		}
	}
	return nil
}

// config makes the object of config.json.
func config(f *File, g checkpoint.GGUF) (map[string]any, error) {
	arch := g.Architecture
	c := map[string]any{"model_type": g.ModelType, "torch_dtype": "float32"}
	if err := checkStrange(f.Meta, g); err != nil {
		return nil, err
	}
	for _, k := range sizeKeys {
		n, err := f.Meta.Int(arch + "." + k.meta)
		if err == nil && n == 0 {
			err = fmt.Errorf("metadata key %q is 0", arch+"."+k.meta)
		}
		if err != nil {
			return nil, err
		}
		c[k.config] = n
	}
	for _, k := range otherKeys {
		if v, ok := f.Meta[arch+"."+k.meta]; ok {
			c[k.config] = v
		}
	}
	if c["rms_norm_eps"] == nil {
		return nil, keyError(arch+".attention.layer_norm_rms_epsilon", "a float", nil)
	}
	if err := headDims(f, arch, c); err != nil {
		return nil, err
	}
	if g.Experts {
		if err := experts(f.Meta, arch, c); err != nil {
			return nil, err
		}
	}
	tokens, err := f.Meta.Strings("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	c["vocab_size"] = len(tokens)
	if len(tokens) == 0 {
		return nil, fmt.Errorf("the vocabulary is empty")
	}
	_, untied := f.Tensor("output.weight")
	c["tie_word_embeddings"] = !untied
	_, c["attention_bias"] = f.Tensor("blk.0.attn_output.bias")
	_, c["mlp_bias"] = f.Tensor("blk.0.ffn_up.bias")
	if c["rope_theta"], err = floatOr(f.Meta, arch+".rope.freq_base", float32(10000)); err != nil {
		return nil, err
	}
	if err := ropeScaling(f, arch, c); err != nil {
		return nil, err
	}
	ids, err := specialIDs(f.Meta, len(tokens))
	if err != nil {
		return nil, err
	}
	ids.addTo(c)
	if err := particulars(f, arch, c); err != nil {
		return nil, err
	}
	return c, nil
}

// headDims adds the size of a head, and how much of it RoPE rotates.
func headDims(f *File, arch string, c map[string]any) error {
	dim := c["hidden_size"].(int) / c["num_attention_heads"].(int)
	for _, k := range []string{"attention.key_length", "attention.value_length"} {
		if f.Meta.Has(arch + "." + k) {
			n, err := f.Meta.Int(arch + "." + k)
			if err != nil {
				return err
			}
			if k == "attention.value_length" && n != dim {
				return fmt.Errorf("a head has values of %d and keys of %d elements; "+
					"only equal numbers can be imported", n, dim)
			}
			dim = n
		}
	}
	c["head_dim"] = dim
	if k := arch + ".rope.dimension_count"; f.Meta.Has(k) {
		n, err := f.Meta.Int(k)
		if err != nil {
			return err
		}
		if n != dim && dim > 0 {
			c["partial_rotary_factor"] = float64(n) / float64(dim)
		}
	}
	return nil
}

// expertKeys lists the keys that a mixture of experts must have.
var expertKeys = []key{
	{"expert_count", "num_experts"},
	{"expert_used_count", "num_experts_per_tok"},
	{"expert_feed_forward_length", "moe_intermediate_size"},
}

// experts adds what a mixture of experts needs. llama.cpp makes the shares of a token's experts sum
// to 1, by a softmax, unless the metadata says otherwise.
func experts(m Metadata, arch string, c map[string]any) (err error) {
	for _, k := range expertKeys {
		if c[k.config], err = m.Int(arch + "." + k.meta); err != nil {
			return err
		}
	}
	c["norm_topk_prob"] = true
	for k, plain := range map[string]string{
		"expert_gating_func": "1", "expert_weights_scale": "1", "expert_weights_norm": "true",
	} {
		v, ok := m[arch+"."+k]
		if s := fmt.Sprint(v); ok && s != plain && s != "0" {
			return fmt.Errorf("%s.%s is %v; such models cannot be imported", arch, k, v)
		}
	}
	return nil
}

// particulars adds what single architectures need beside, and their classes in Transformers.
func particulars(f *File, arch string, c map[string]any) error {
	window, err := 0, error(nil)
	if k := arch + ".attention.sliding_window"; f.Meta.Has(k) {
		if window, err = f.Meta.Int(k); err != nil {
			return err
		}
	}
	switch arch {
	case "gemma2", "gemma3":
		err = gemma(f, arch, c, window)
	case "phi3":
		c["sliding_window"] = nil
		if window > 0 {
			c["sliding_window"] = window
		}
		c["pad_token_id"] = 0 // Transformers' own default is outside small vocabularies
	case "mistral3":
		mistral3(f, c)
	case "llama":
		if window > 0 {
			c["model_type"], c["sliding_window"] = "mistral", window
		}
	case "qwen2", "qwen3", "qwen3moe":
		c["use_sliding_window"] = false
		if window > 0 && window < c["max_position_embeddings"].(int) {
			err = fmt.Errorf("%s.attention.sliding_window is %d; "+
				"the metadata does not say which layers slide", arch, window)
		}
	}
	c["architectures"] = []string{classes[c["model_type"].(string)]}
	return err
}

// classes are the names of networks in Transformers.
var classes = map[string]string{
	"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
	"ministral3": "Ministral3ForCausalLM", "qwen2": "Qwen2ForCausalLM",
	"qwen3": "Qwen3ForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM",
	"gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM",
	"phi3": "Phi3ForCausalLM", "smollm3": "SmolLM3ForCausalLM",
}

// mistral3 adds what is particular to the architecture mistral3 to config.json. Its files hold
// Ministral 3, or a Mistral whose queries do not grow with their position.
func mistral3(f *File, c map[string]any) {
	scaling, _ := c["rope_scaling"].(map[string]any)
	beta := f.Meta["mistral3.attention.temperature_scale"]
	if scaling == nil || beta == nil {
		c["model_type"], c["sliding_window"] = "mistral", nil
		return
	}
	scaling["llama_4_scaling_beta"], scaling["rope_theta"] = beta, c["rope_theta"]
	if m := f.Meta["mistral3.rope.scaling.yarn_log_multiplier"]; m != nil {
		scaling["mscale"], scaling["mscale_all_dim"] = 1.0, m
	}
	c["rope_parameters"] = scaling
	delete(c, "rope_scaling")
	delete(c, "rope_theta")
}

// gemma adds what is particular to Gemma 2 and 3 to config.json.
func gemma(f *File, arch string, c map[string]any, window int) error {
	layers := c["num_hidden_layers"].(int)
	pattern := 2
	if arch == "gemma3" {
		pattern = gemma3Pattern
		theta, err := floatOr(f.Meta, "gemma3.rope.freq_base_swa", gemma3SlidingTheta)
		if err != nil {
			return err
		}
		c["rope_local_base_freq"], c["sliding_window_pattern"] = theta, pattern
	}
	if k := arch + ".attention.sliding_window_pattern"; f.Meta.Has(k) {
		if n, err := f.Meta.Int(k); err != nil || n != pattern {
			return fmt.Errorf("%s is %v; only models in which every layer number %d attends "+
				"globally can be imported", k, f.Meta[k], pattern)
		}
	}
	kinds := make([]string, layers)
	for i := range kinds {
		kinds[i] = "sliding_attention"
		if (i+1)%pattern == 0 {
			kinds[i] = "full_attention"
		}
	}
	if window == 0 {
		return keyError(arch+".attention.sliding_window", "an integer above 0",
			f.Meta[arch+".attention.sliding_window"])
	}
	c["hidden_activation"] = "gelu_pytorch_tanh"
	c["sliding_window"] = window
	c["layer_types"] = kinds
	c["query_pre_attn_scalar"] = c["head_dim"]
	if layers == gemma27B[arch] {
		c["query_pre_attn_scalar"] = c["hidden_size"].(int) / c["num_attention_heads"].(int)
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
