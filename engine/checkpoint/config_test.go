package checkpoint

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const gemmaKeys = `"vocab_size":100,"hidden_size":640,"num_hidden_layers":4,
	"intermediate_size":128,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":32,
	"max_position_embeddings":1024,"rms_norm_eps":1e-6,"query_pre_attn_scalar":32,"sliding_window":16`

// plain are the frequencies of RoPE without scaling.
func plain(theta float64, dim int, factor float64) Rope {
	r := Rope{Scale: 1}
	for i := range dim / 2 {
		r.Frequencies = append(r.Frequencies,
			math.Pow(theta, -2*float64(i)/float64(dim))/factor)
	}
	return r
}

// TestGemmaConfigs: Gemma 3 folders say the same in several ways.
func TestGemmaConfigs(t *testing.T) {
	want := Config{
		ModelType: "gemma3_text",
		Architecture: Architecture{GELU: true, PostNorms: true, QKNorm: true, NormsMinusOne: true,
			ScaleEmbedding: true},
		VocabSize: 100, HiddenSize: 640, Layers: 4, Heads: 2, KVHeads: 1,
		HeadDim: 32, Intermediate: 128,
		MaxPositions: 1024, SlidingWindow: 16,
		LayerSliding: []bool{true, false, true, false},
		LayerRope:    []bool{true, true, true, true},
		RMSNormEps:   1e-6, Rope: plain(5e5, 32, 8), SlidingRope: plain(2e4, 32, 1),
		// The square root of 640 in bfloat16.
		AttentionScale: 1 / math.Sqrt(32), EmbeddingScale: 25.25,
		TieEmbeddings: true, BOS: 2, EOS: []int32{1, 5},
	}
	const (
		text  = `{"model_type":"gemma3_text",` + gemmaKeys
		ids   = `,"bos_token_id":2,"eos_token_id":[1,5]`
		theta = `,"rope_theta":500000,"rope_local_base_freq":20000,
			"rope_scaling":{"rope_type":"linear","factor":8}`
	)
	for name, text := range map[string]string{
		"pattern":     text + ids + theta + `,"sliding_window_pattern":2}`,
		"old pattern": text + ids + theta + `,"_sliding_window_pattern":2}`,
		"layer types": text + ids + theta + `,"sliding_window_pattern":2,
			"layer_types":["sliding_attention","full_attention","sliding_attention","full_attention"]}`,
		"rope_parameters": text + ids + `,"sliding_window_pattern":2,"rope_parameters":{
			"full_attention":{"rope_type":"linear","factor":8,"rope_theta":500000},
			"sliding_attention":{"rope_type":"default","rope_theta":20000}}}`,
		"text_config": `{"model_type":"gemma3"` + ids + `,"text_config":` + text + theta +
			`,"sliding_window_pattern":2}}`,
	} {
		got, err := ParseConfig([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
}

// TestLayerTypes: a list of the layers' kinds has precedence over the pattern.
func TestLayerTypes(t *testing.T) {
	got, err := ParseConfig([]byte(`{"model_type":"gemma3_text",` + gemmaKeys + `,"sliding_window_pattern":2,
		"layer_types":["full_attention","sliding_attention","sliding_attention","full_attention"]}`))
	want := []bool{false, true, true, false}
	if err != nil || !slices.Equal(got.LayerSliding, want) {
		t.Errorf("sliding layers %v (%v), want those of layer_types, %v", got.LayerSliding, err, want)
	}
}

func TestLlamaConfigs(t *testing.T) {
	const keys = `{"model_type":"llama","vocab_size":100,"hidden_size":64,"num_hidden_layers":2,
		"intermediate_size":128,"num_attention_heads":4,"num_key_value_heads":2,
		"max_position_embeddings":1024,"rms_norm_eps":1e-5,"bos_token_id":1,"eos_token_id":2,
		"rope_scaling":null`
	want := Config{
		ModelType: "llama", VocabSize: 100, HiddenSize: 64, Layers: 2, Heads: 4, KVHeads: 2,
		HeadDim: 16, Intermediate: 128,
		MaxPositions: 1024, LayerSliding: []bool{false, false}, LayerRope: []bool{true, true},
		RMSNormEps: 1e-5, Rope: plain(1e5, 16, 1), AttentionScale: 0.25, EmbeddingScale: 1,
		BOS: 1, EOS: []int32{2},
		Quantization: Quantization{GroupSize: 64, Bits: 4,
			Layers: map[string]Quantization{"lm_head": {GroupSize: 32, Bits: 8}}},
	}
	const quant = `,"quantization":{"group_size":64,"bits":4,"mode":"affine","model.norm":false,
		"lm_head":{"group_size":32,"bits":8}}}`
	for name, text := range map[string]string{
		"theta": keys + `,"rope_theta":100000` + quant,
		"rope_parameters": keys +
			`,"rope_parameters":{"rope_type":"default","rope_theta":100000}` + quant,
	} {
		got, err := ParseConfig([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestRefusedConfigs(t *testing.T) {
	with := func(pair string) string {
		return `{"model_type":"gemma3_text",` + gemmaKeys + `,` +
			pair + `}`
	}
	for say, text := range map[string]string{
		`model_type "qwen3_next" is not supported`:           `{"model_type":"qwen3_next"}`,
		`vocab_size is 0`:                                    `{"model_type":"llama"}`,
		`vocab_size is -1`:                                   with(`"vocab_size":-1`),
		`num_hidden_layers is 1000000`:                       with(`"num_hidden_layers":1000000`),
		`head_dim 3 is odd`:                                  with(`"head_dim":3`),
		`num_attention_heads 2 is not a multiple`:            with(`"num_key_value_heads":3`),
		`rms_norm_eps is -1`:                                 with(`"rms_norm_eps":-1`),
		`layer_types has 1 layers, num_hidden_layers is 4`:   with(`"layer_types":["full_attention"]`),
		`layer type "linear_attention"`:                      with(`"layer_types":["linear_attention","full_attention","full_attention","full_attention"]`),
		`activation "relu" is not supported for gemma3_text`: with(`"hidden_activation":"relu"`),
		`RoPE scaling "yarn" needs`:                          with(`"rope_scaling":{"rope_type":"yarn","factor":4}`),
		`RoPE scaling "linear" needs factors above 0`:        with(`"rope_scaling":{"type":"linear"}`),
		`RoPE scaling "mrope" is not supported; linear`:      with(`"rope_scaling":{"type":"mrope"}`),
		`"longrope" has a short_factor of 2 numbers`:         with(`"rope_scaling":{"type":"longrope","short_factor":[1,2]}`),
		`mlp_bias true is not supported for gemma3_text`:     with(`"mlp_bias":true`),
		`partial_rotary_factor 0.5 is not supported`:         with(`"partial_rotary_factor":0.5`),
		`partial_rotary_factor 0.01 rotates`:                 with(`"partial_rotary_factor":0.01`),
		`no_rope_layer_interval 4 is not supported`:          with(`"no_rope_layer_interval":4`),
		`sliding_window -1`:                                  with(`"sliding_window":-1`),
		`sliding_window is 0 and layers slide`:               with(`"sliding_window":null`),
		`special token 100 is outside the vocabulary of 100`: with(`"eos_token_id":[1,100]`),
		`model_type "mamba" is not supported; llama`:         with(`"model_type":"mamba"`),
		`hidden_size is -1`:                                  with(`"hidden_size":-1`),
		`vocab_size is 1099511627776`:                        with(`"vocab_size":1099511627776`),
		`num_hidden_layers is -1`:                            with(`"num_hidden_layers":-1`),
		`num_hidden_layers is 0`:                             with(`"num_hidden_layers":0`),
		`head_dim 7 is odd`:                                  with(`"head_dim":7`),
		`cannot unmarshal string`:                            with(`"hidden_size":"many"`),
		`RoPE scaling "llama3" needs factors above 0`:        with(`"rope_scaling":{"rope_type":"llama3","factor":8}`),
		`quantization "mxfp4" is not supported`:              with(`"quantization":{"mode":"mxfp4"}`),
		`model_type "t5gemma" is not supported`:              with(`"text_config":{"model_type":"t5gemma"}`),
		`model_type "qwen2_vl" is not supported`:             `{"model_type":"qwen2_vl","text_config":{"vocab_size":8}}`,
		`quantization "gptq" is not supported`:               with(`"quantization_config":{"quant_method":"gptq","bits":4,"group_size":128}`),
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("error %v, want one with %q", err, say)
		}
	}
}
