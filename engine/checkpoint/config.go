package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Config is config.json with every default resolved and every number checked. It is all that a
// network needs besides its weights. LayerSliding has Layers entries.
type Config struct {
	ModelType string // "gemma3_text" or "llama", which stands for Mistral as well

	VocabSize, HiddenSize, Layers, Heads, KVHeads, HeadDim, Intermediate int

	MaxPositions  int
	SlidingWindow int // tokens that a token sees in a sliding layer, itself included; 0 for Llama

	// Every SlidingPattern-th layer is global, unless the file lists the layers; 0 for Llama.
	SlidingPattern int
	LayerSliding   []bool // by layer: sliding, else global

	RMSNormEps         float64
	RopeTheta          float64 // base of the global layers
	RopeLocalTheta     float64 // base of the sliding layers, rope_local_base_freq; 0 for Llama
	RopeFactor         float64 // positions of global layers are divided by it; 1 without scaling
	QueryPreAttnScalar float64 // attention scores are divided by its square root

	TieEmbeddings bool // the embedding is the head as well, even where the files hold a head
	BOS           int32
	EOS           []int32 // tokens that end an answer; generation_config.json may have more

	Quantization Quantization
}

// configFile has the keys of config.json that matter here. The pointers tell an absent key from a
// false one.
type configFile struct {
	ModelType          string          `json:"model_type"`
	TextConfig         json.RawMessage `json:"text_config"`
	VocabSize          int             `json:"vocab_size"`
	HiddenSize         int             `json:"hidden_size"`
	Layers             int             `json:"num_hidden_layers"`
	Heads              int             `json:"num_attention_heads"`
	KVHeads            int             `json:"num_key_value_heads"`
	HeadDim            int             `json:"head_dim"`
	Intermediate       int             `json:"intermediate_size"`
	MaxPositions       int             `json:"max_position_embeddings"`
	SlidingWindow      int             `json:"sliding_window"`
	SlidingPattern     int             `json:"sliding_window_pattern"`
	SlidingPatternHF   int             `json:"_sliding_window_pattern"`
	LayerTypes         []string        `json:"layer_types"`
	RMSNormEps         float64         `json:"rms_norm_eps"`
	RopeTheta          float64         `json:"rope_theta"`
	RopeLocalTheta     float64         `json:"rope_local_base_freq"`
	RopeScaling        *rope           `json:"rope_scaling"`
	RopeParameters     *ropeParameters `json:"rope_parameters"`
	QueryPreAttnScalar float64         `json:"query_pre_attn_scalar"`
	TieEmbeddings      *bool           `json:"tie_word_embeddings"`
	BOS                tokenIDs        `json:"bos_token_id"`
	EOS                tokenIDs        `json:"eos_token_id"`

	HiddenAct        string  `json:"hidden_act"`
	HiddenActivation string  `json:"hidden_activation"`
	AttentionBias    bool    `json:"attention_bias"`
	MLPBias          bool    `json:"mlp_bias"`
	RopeTraditional  bool    `json:"rope_traditional"`
	Bidirectional    bool    `json:"use_bidirectional_attention"`
	AttnSoftcap      float64 `json:"attn_logit_softcapping"`
	FinalSoftcap     float64 `json:"final_logit_softcapping"`
	PartialRotary    float64 `json:"partial_rotary_factor"`
}

type rope struct {
	Type    string  `json:"rope_type"`
	OldType string  `json:"type"`
	Factor  float64 `json:"factor"`
	Theta   float64 `json:"rope_theta"`
}

// ropeParameters is where Transformers 5 keeps everything about RoPE: flat for Llama, by kind of
// layer for Gemma 3.
type ropeParameters struct {
	rope
	Full    *rope `json:"full_attention"`
	Sliding *rope `json:"sliding_attention"`
}

// tokenIDs is one id, a list of them, or null.
type tokenIDs []int32

func (t *tokenIDs) UnmarshalJSON(data []byte) error {
	var one int32
	if err := json.Unmarshal(data, &one); err == nil && string(data) != "null" {
		*t = tokenIDs{one}
		return nil
	}
	return json.Unmarshal(data, (*[]int32)(t))
}

func parseConfig(data []byte) (Config, error) {
	var f configFile
	if err := json.Unmarshal(data, &f); err != nil {
		return Config{}, err
	}
	quantization, err := parseQuantization(data)
	if err != nil {
		return Config{}, err
	}
	outerType, eos, bos := f.ModelType, f.EOS, f.BOS
	if f.TextConfig != nil {
		inner := f.TextConfig
		if _, err := parseQuantization(inner); err != nil {
			return Config{}, fmt.Errorf("text_config: %w", err)
		}
		data, f = inner, configFile{}
		if err := json.Unmarshal(inner, &f); err != nil {
			return Config{}, fmt.Errorf("text_config: %w", err)
		}
		// Published multimodal folders have the ids outside text_config, some of them only there.
		if len(eos) > 0 {
			f.EOS = eos
		}
		if len(bos) > 0 {
			f.BOS = bos
		}
	}
	switch f.ModelType {
	case "llama":
		f.llamaDefaults()
	case "mistral":
		if err := f.mistralDefaults(data); err != nil {
			return Config{}, err
		}
	case "gemma3", "gemma3_text":
		f.ModelType = "gemma3_text"
		f.gemmaDefaults()
	default:
		return Config{}, fmt.Errorf(
			"model_type %q is not supported; llama, mistral, gemma3 and gemma3_text are",
			cmp.Or(f.ModelType, outerType))
	}
	if err := errors.Join(f.checkSizes(), f.checkKind()); err != nil {
		return Config{}, err
	}
	factor, err := f.RopeScaling.factor()
	if err != nil {
		return Config{}, err
	}
	c := Config{
		ModelType: f.ModelType, VocabSize: f.VocabSize, HiddenSize: f.HiddenSize, Layers: f.Layers,
		Heads: f.Heads, KVHeads: f.KVHeads, HeadDim: f.HeadDim, Intermediate: f.Intermediate,
		MaxPositions: f.MaxPositions, SlidingWindow: f.SlidingWindow,
		SlidingPattern: f.SlidingPattern,
		LayerSliding:   f.sliding(), RMSNormEps: f.RMSNormEps, RopeTheta: f.RopeTheta,
		RopeLocalTheta: f.RopeLocalTheta, RopeFactor: factor,
		QueryPreAttnScalar: f.QueryPreAttnScalar, EOS: f.EOS,
		TieEmbeddings: f.gemma(),
	}
	if f.TieEmbeddings != nil {
		c.TieEmbeddings = *f.TieEmbeddings
	}
	if len(f.BOS) > 0 {
		c.BOS = f.BOS[0]
	}
	c.Quantization = quantization
	return c, nil
}

// parseQuantization reads MLX's object, which folders have under two names. Other methods have the
// second, and early folders of compressed-tensors the third; all of them are errors.
func parseQuantization(data []byte) (Quantization, error) {
	var f struct {
		MLX          *Quantization `json:"quantization"`
		Transformers *Quantization `json:"quantization_config"`
		Compression  *Quantization `json:"compression_config"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return Quantization{}, err
	}
	if q := cmp.Or(f.MLX, f.Transformers); q != nil {
		return *q, nil
	}
	return Quantization{}, nil
}

// gemma reports whether the network is a Gemma 3; else it is a Llama.
func (f *configFile) gemma() bool { return f.ModelType == "gemma3_text" }

// gemmaDefaults fills in the values that the published files of Gemma 3 leave to the Transformers
// library.
func (f *configFile) gemmaDefaults() {
	setDefault(&f.VocabSize, 262208)
	setDefault(&f.Heads, 8)
	setDefault(&f.KVHeads, 4)
	setDefault(&f.HeadDim, 256)
	setDefault(&f.MaxPositions, 131072)
	setDefault(&f.SlidingWindow, 4096)
	setDefault(&f.SlidingPattern, f.SlidingPatternHF)
	setDefault(&f.SlidingPattern, 6)
	setDefault(&f.RMSNormEps, 1e-6)
	setDefault(&f.QueryPreAttnScalar, 256)
	if p := f.RopeParameters; p != nil {
		if p.Full != nil {
			setDefault(&f.RopeTheta, p.Full.Theta)
			if f.RopeScaling == nil {
				f.RopeScaling = p.Full
			}
		}
		if p.Sliding != nil {
			setDefault(&f.RopeLocalTheta, p.Sliding.Theta)
		}
	}
	setDefault(&f.RopeTheta, 1e6)
	setDefault(&f.RopeLocalTheta, 1e4)
}

// llamaDefaults does the same for Llama.
func (f *configFile) llamaDefaults() {
	setDefault(&f.KVHeads, f.Heads)
	if f.Heads > 0 {
		setDefault(&f.HeadDim, f.HiddenSize/f.Heads)
	}
	setDefault(&f.MaxPositions, 2048)
	setDefault(&f.RMSNormEps, 1e-6)
	if p := f.RopeParameters; p != nil {
		setDefault(&f.RopeTheta, p.Theta)
		if f.RopeScaling == nil {
			f.RopeScaling = &p.rope
		}
	}
	setDefault(&f.RopeTheta, 1e4)
	f.QueryPreAttnScalar = float64(f.HeadDim)
	f.SlidingWindow, f.SlidingPattern, f.RopeLocalTheta = 0, 0, 0
}

// mistralDefaults makes a Mistral without a sliding window the Llama that it is, with the defaults of
// MistralConfig. An absent window is one of 4096 there, where null is none; a window that no sequence
// outgrows is none either. data is the object that f was read from.
func (f *configFile) mistralDefaults(data []byte) error {
	var has map[string]json.RawMessage
	if err := json.Unmarshal(data, &has); err != nil {
		return err
	}
	setDefault(&f.MaxPositions, 131072)
	if has["sliding_window"] == nil {
		f.SlidingWindow = 4096
	}
	if f.SlidingWindow != 0 && f.SlidingWindow < f.MaxPositions {
		return fmt.Errorf("sliding_window %d is not supported for mistral; "+
			"null is, as in version 0.2 and later ones of Mistral 7B", f.SlidingWindow)
	}
	if has["num_key_value_heads"] == nil {
		f.KVHeads = 8
	}
	f.ModelType = "llama"
	f.llamaDefaults()
	return nil
}

func setDefault[T int | float64](p *T, v T) {
	if *p == 0 {
		*p = v
	}
}

// checkSizes refuses numbers that no network has, so that every size that is computed from the
// others fits an int.
func (f *configFile) checkSizes() error {
	for _, n := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", f.VocabSize, 1 << 22},
		{"hidden_size", f.HiddenSize, 1 << 16},
		{"num_hidden_layers", f.Layers, 1 << 10},
		{"num_attention_heads", f.Heads, 1 << 10},
		{"num_key_value_heads", f.KVHeads, 1 << 10},
		{"head_dim", f.HeadDim, 1 << 12},
		{"intermediate_size", f.Intermediate, 1 << 20},
		{"max_position_embeddings", f.MaxPositions, 1 << 24},
	} {
		if n.value < 1 || n.value > n.max {
			return fmt.Errorf("%s is %d; it must be 1 to %d", n.key, n.value, n.max)
		}
	}
	for _, x := range []struct {
		key   string
		value float64
	}{
		{"rms_norm_eps", f.RMSNormEps},
		{"rope_theta", f.RopeTheta},
		{"query_pre_attn_scalar", f.QueryPreAttnScalar},
	} {
		if !(x.value > 0) {
			return fmt.Errorf("%s is %v; it must be positive", x.key, x.value)
		}
	}
	if f.Heads%f.KVHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is not a multiple of num_key_value_heads %d",
			f.Heads, f.KVHeads)
	}
	if f.HeadDim%2 != 0 {
		return fmt.Errorf("head_dim %d is odd, and RoPE rotates pairs", f.HeadDim)
	}
	for _, id := range slices.Concat(f.EOS, f.BOS) {
		if id < 0 || int(id) >= f.VocabSize {
			return fmt.Errorf("special token %d is outside the vocabulary of %d", id, f.VocabSize)
		}
	}
	return nil
}

// checkKind refuses variants of these architectures that would be computed wrongly without a word.
func (f *configFile) checkKind() error {
	act, want := f.HiddenAct, "silu"
	if f.gemma() {
		want = "gelu_pytorch_tanh"
		if f.HiddenActivation != "" {
			act = f.HiddenActivation
		}
		if f.SlidingWindow < 1 || f.SlidingPattern < 1 || !(f.RopeLocalTheta > 0) {
			return fmt.Errorf("sliding_window %d, sliding_window_pattern %d and "+
				"rope_local_base_freq %v must be positive",
				f.SlidingWindow, f.SlidingPattern, f.RopeLocalTheta)
		}
		if n := len(f.LayerTypes); n != 0 && n != f.Layers {
			return fmt.Errorf("layer_types has %d layers, num_hidden_layers is %d", n, f.Layers)
		}
	}
	if act != "" && act != want {
		return fmt.Errorf("activation %q is not supported for %s; %s is", act, f.ModelType, want)
	}
	for _, x := range []struct {
		key   string
		value any
		plain bool // the value changes nothing
	}{
		{"attention_bias", f.AttentionBias, !f.AttentionBias},
		{"mlp_bias", f.MLPBias, !f.MLPBias},
		{"rope_traditional", f.RopeTraditional, !f.RopeTraditional},
		{"use_bidirectional_attention", f.Bidirectional, !f.Bidirectional},
		{"attn_logit_softcapping", f.AttnSoftcap, f.AttnSoftcap == 0},
		{"final_logit_softcapping", f.FinalSoftcap, f.FinalSoftcap == 0},
		{"partial_rotary_factor", f.PartialRotary, f.PartialRotary == 0 || f.PartialRotary == 1},
	} {
		if !x.plain {
			return fmt.Errorf("%s %v is not supported for %s", x.key, x.value, f.ModelType)
		}
	}
	for _, t := range f.LayerTypes {
		if t != "full_attention" && !(f.gemma() && t == "sliding_attention") {
			return fmt.Errorf("layer type %q is not supported for %s", t, f.ModelType)
		}
	}
	return nil
}

// sliding reports for each layer whether it slides. It relies on the checks.
func (f *configFile) sliding() []bool {
	s := make([]bool, f.Layers)
	if !f.gemma() {
		return s
	}
	for i := range s {
		s[i] = (i+1)%f.SlidingPattern != 0
	}
	for i, t := range f.LayerTypes {
		s[i] = t == "sliding_attention"
	}
	return s
}

// factor returns the divisor of positions, 1 without scaling.
func (r *rope) factor() (float64, error) {
	if r == nil {
		return 1, nil
	}
	kind := r.Type
	if kind == "" {
		kind = r.OldType
	}
	switch {
	case kind == "" || kind == "default":
		return 1, nil
	case kind == "linear" && r.Factor > 0:
		return r.Factor, nil
	}
	return 0, fmt.Errorf("RoPE scaling %q with factor %v is not supported; linear is",
		kind, r.Factor)
}
