package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Architecture says what a family's networks have in common. It is all that the backends, the
// folders and the importer of GGUF files know of a family: none of them asks for its name.
//
// Every network here is a decoder of one shape. A layer adds attention to the residual stream, and
// then a gated MLP: x += O(attention(Q n, K n, V n)) with n = norm(x), x += Down(act(Gate n) * Up
// n) with another norm. Norms are RMSNorm. In a mixture of experts a layer has many such MLPs, and
// each token goes through those few that a router chooses for it.
type Architecture struct {
	GELU      bool // the activation is GELU in its tanh form, else SiLU
	PostNorms bool // what a layer adds is normalised once more, after attention and after the MLP
	QKNorm    bool // queries and keys are normalised by head, before RoPE
	QKVBias   bool // Q, K and V have biases
	OBias     bool
	MLPBias   bool // Gate, Up and Down have biases

	NormsMinusOne  bool // the files hold the factors of norms minus 1
	ScaleEmbedding bool // embeddings are multiplied by the root of the hidden size, in bfloat16
	Fused          bool // the files hold Q, K and V as one matrix, and Gate and Up as one
}

// family is a row of the table of architectures.
type family struct {
	types []string // model_type in config.json; the first is the usual one
	gguf  GGUF

	Architecture
	// defaults is JSON: the keys that published files of the family leave to the Transformers
	// library, and the values there.
	defaults string
	theta    float64 // base of RoPE where the file names none
	layers   func(f *configFile) (sliding []bool)
	takes    takes
}

// takes says which keys of config.json change a family's network. For other families a value other
// than the plain one is an error.
type takes struct {
	attentionBias, mlpBias, softcaps, partialRotary, queryScalar, noRope, experts bool
}

// families is the table of architectures. CONTRIBUTING.md says how to add a row.
var families = []family{
	{
		types: []string{"llama"}, gguf: GGUF{Architecture: "llama", Permuted: true}, theta: 1e4,
		layers:   noWindow,
		takes:    takes{attentionBias: true, mlpBias: true},
		defaults: `{"max_position_embeddings":2048,"rms_norm_eps":1e-6}`,
	},
	{
		types: []string{"mistral", "ministral"}, theta: 1e4, layers: allLayers,
		defaults: `{"max_position_embeddings":131072,"rms_norm_eps":1e-6,"num_key_value_heads":8,
			"sliding_window":4096}`,
	},
	{
		types: []string{"ministral3"}, gguf: GGUF{Architecture: "mistral3", Permuted: true},
		theta: 1e6, layers: allLayers,
		defaults: `{"max_position_embeddings":262144,"rms_norm_eps":1e-5,"num_key_value_heads":8,
			"head_dim":128}`,
	},
	{
		types: []string{"qwen2"}, gguf: GGUF{Architecture: "qwen2"}, theta: 1e4, layers: fromLayer,
		Architecture: Architecture{QKVBias: true},
		defaults: `{"max_position_embeddings":32768,"rms_norm_eps":1e-6,"num_key_value_heads":32,
			"sliding_window":4096,"max_window_layers":28}`,
	},
	{
		types: []string{"qwen3"}, gguf: GGUF{Architecture: "qwen3"}, theta: 1e4, layers: fromLayer,
		Architecture: Architecture{QKNorm: true},
		takes:        takes{attentionBias: true},
		defaults: `{"max_position_embeddings":32768,"rms_norm_eps":1e-6,"num_key_value_heads":32,
			"head_dim":128,"sliding_window":4096,"max_window_layers":28}`,
	},
	{
		types: []string{"qwen3_moe"}, gguf: GGUF{Architecture: "qwen3moe"}, theta: 1e4,
		layers:       fromLayer,
		Architecture: Architecture{QKNorm: true},
		takes:        takes{attentionBias: true, experts: true},
		defaults: `{"max_position_embeddings":32768,"rms_norm_eps":1e-6,"num_key_value_heads":4,
			"head_dim":128,"sliding_window":4096,"num_experts":128,"num_experts_per_tok":8,
			"moe_intermediate_size":768,"decoder_sparse_step":1}`,
	},
	{
		types: []string{"gemma2"}, gguf: GGUF{Architecture: "gemma2"}, theta: 1e4, layers: byPattern,
		Architecture: Architecture{GELU: true, PostNorms: true, NormsMinusOne: true,
			ScaleEmbedding: true},
		takes: takes{attentionBias: true, softcaps: true, queryScalar: true},
		defaults: `{"vocab_size":256000,"num_attention_heads":8,"num_key_value_heads":4,
			"head_dim":256,"max_position_embeddings":8192,"rms_norm_eps":1e-6,"sliding_window":4096,
			"sliding_window_pattern":2,"query_pre_attn_scalar":256,"attn_logit_softcapping":50,
			"final_logit_softcapping":30,"tie_word_embeddings":true}`,
	},
	{
		types: []string{"gemma3_text", "gemma3"}, gguf: GGUF{Architecture: "gemma3"}, theta: 1e6,
		layers: byPattern,
		Architecture: Architecture{GELU: true, PostNorms: true, QKNorm: true, NormsMinusOne: true,
			ScaleEmbedding: true},
		takes: takes{attentionBias: true, softcaps: true, queryScalar: true},
		defaults: `{"vocab_size":262208,"num_attention_heads":8,"num_key_value_heads":4,
			"head_dim":256,"max_position_embeddings":131072,"rms_norm_eps":1e-6,
			"sliding_window":4096,"query_pre_attn_scalar":256,"rope_local_base_freq":10000,
			"tie_word_embeddings":true}`,
	},
	{
		types: []string{"phi3"}, gguf: GGUF{Architecture: "phi3"}, theta: 1e4, layers: allLayers,
		Architecture: Architecture{Fused: true},
		takes:        takes{partialRotary: true},
		defaults: `{"max_position_embeddings":4096,"original_max_position_embeddings":4096,
			"rms_norm_eps":1e-5}`,
	},
	{
		types: []string{"smollm3"}, gguf: GGUF{Architecture: "smollm3", Permuted: true},
		theta: 2e6, layers: noRopeLayers,
		takes: takes{attentionBias: true, mlpBias: true, noRope: true},
		defaults: `{"num_attention_heads":16,"num_key_value_heads":4,
			"max_position_embeddings":32768,"rms_norm_eps":1e-6,"no_rope_layer_interval":4,
			"tie_word_embeddings":true}`,
	},
}

// familyOf returns the row of a model_type.
func familyOf(modelType string) (*family, bool) {
	for i := range families {
		if slices.Contains(families[i].types, modelType) {
			return &families[i], true
		}
	}
	return nil, false
}

// ModelTypes lists every model_type that is supported, as config.json names them.
func ModelTypes() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.types...)
	}
	return names
}

// GGUF says how llama.cpp's converter writes the networks of a family.
type GGUF struct {
	Architecture string // general.architecture; "" if it has none of its own, as Mistral has Llama's
	Permuted     bool   // the two halves of each head's rows in Q and K are interleaved
	ModelType    string // in config.json
	Experts      bool   // the networks are mixtures of experts
}

// GGUFs lists the families that GGUF files may hold.
func GGUFs() []GGUF {
	var list []GGUF
	for _, f := range families {
		if f.gguf.Architecture != "" {
			f.gguf.ModelType, f.gguf.Experts = f.types[0], f.takes.experts
			list = append(list, f.gguf)
		}
	}
	return list
}

// unsupported is the error for a model_type that has no row.
func unsupported(modelType string) error {
	names := ModelTypes()
	last := len(names) - 1
	return fmt.Errorf("model_type %q is not supported; %s and %s are",
		modelType, strings.Join(names[:last], ", "), names[last])
}

// noWindow is for families all of whose layers see all tokens.
func noWindow(f *configFile) []bool { return make([]bool, f.Layers) }

// allLayers is for families all of whose layers slide where there is a window.
func allLayers(f *configFile) []bool {
	s := make([]bool, f.Layers)
	for i := range s {
		s[i] = f.window() > 0
	}
	return s
}

// fromLayer is for families in which the layers from max_window_layers on slide where
// use_sliding_window says so.
func fromLayer(f *configFile) []bool {
	if !f.UseSlidingWindow {
		f.SlidingWindow = nil
	}
	s := make([]bool, f.Layers)
	for i := range s {
		s[i] = f.window() > 0 && i >= f.MaxWindowLayers
	}
	return s
}

// byPattern is for families in which every sliding_window_pattern-th layer sees all tokens.
func byPattern(f *configFile) []bool {
	s := make([]bool, f.Layers)
	for i := range s {
		s[i] = (i+1)%f.SlidingPattern != 0
	}
	return s
}

// noRopeLayers is for families in which the layers without RoPE slide where use_sliding_window says
// so.
func noRopeLayers(f *configFile) []bool {
	if !f.UseSlidingWindow {
		f.SlidingWindow = nil
	}
	s := make([]bool, f.Layers)
	for i, rope := range f.rotates() {
		s[i] = f.window() > 0 && !rope
	}
	return s
}

// parseFamily reads an object of config.json over the family's defaults.
func parseFamily(data []byte) (*configFile, *family, error) {
	var named configFile
	if err := json.Unmarshal(data, &named); err != nil {
		return nil, nil, err
	}
	fam, ok := familyOf(named.ModelType)
	if !ok {
		return nil, nil, unsupported(named.ModelType)
	}
	f := &configFile{}
	err := errors.Join(json.Unmarshal([]byte(fam.defaults), f), json.Unmarshal(data, f))
	f.ModelType = fam.types[0]
	return f, fam, err
}
