package checkpoint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Config is config.json with every default resolved and every number checked. It is all that a
// network needs besides its weights. The slices by layer have Layers entries.
type Config struct {
	ModelType string // for messages: what a backend does depends on the other fields alone
	Architecture

	VocabSize, HiddenSize, Layers, Heads, KVHeads, HeadDim, Intermediate int

	MaxPositions  int
	SlidingWindow int    // tokens that a token sees in a sliding layer, itself included; 0: none
	LayerSliding  []bool // by layer: sliding, else global
	LayerRope     []bool // by layer: queries and keys are rotated

	RMSNormEps     float64
	Rope           Rope    // of global layers
	SlidingRope    Rope    // of sliding layers
	AttentionScale float64 // attention scores are multiplied by it
	EmbeddingScale float64 // the embedding's rows are multiplied by it
	// QueryBeta, unless it is 0, lets attention grow more pointed with the position p of the query,
	// which is multiplied by 1 + QueryBeta ln(1 + floor(p/QueryEvery)).
	QueryBeta  float64
	QueryEvery int
	// A score or logit x becomes cap tanh(x/cap), unless its cap is 0.
	AttentionCap, FinalCap float64

	// Of a mixture of experts: how many a layer has, to how many each token goes, and the size that
	// Intermediate is of other networks. The shares of a token's experts sum to 1 if NormShares.
	Experts, ActiveExperts, ExpertIntermediate int
	NormShares                                 bool

	TieEmbeddings bool // the embedding is the head as well, even where the files hold a head
	BOS           int32
	EOS           []int32 // tokens that end an answer; generation_config.json may have more

	Quantization Quantization
}

// configFile has the keys of config.json that matter here. The pointers tell null from a number:
// a key that is absent has the family's default, null is the absence of the thing itself.
type configFile struct {
	ModelType        string          `json:"model_type"`
	TextConfig       json.RawMessage `json:"text_config"`
	VocabSize        int             `json:"vocab_size"`
	HiddenSize       int             `json:"hidden_size"`
	Layers           int             `json:"num_hidden_layers"`
	Heads            int             `json:"num_attention_heads"`
	KVHeads          *int            `json:"num_key_value_heads"`
	HeadDim          *int            `json:"head_dim"`
	Intermediate     int             `json:"intermediate_size"`
	MaxPositions     int             `json:"max_position_embeddings"`
	Original         int             `json:"original_max_position_embeddings"`
	SlidingWindow    *int            `json:"sliding_window"`
	UseSlidingWindow bool            `json:"use_sliding_window"`
	MaxWindowLayers  int             `json:"max_window_layers"`
	SlidingPattern   int             `json:"sliding_window_pattern"`
	SlidingPatternHF int             `json:"_sliding_window_pattern"`
	LayerTypes       []string        `json:"layer_types"`
	NoRopeLayers     []int           `json:"no_rope_layers"`
	NoRopeInterval   int             `json:"no_rope_layer_interval"`
	RMSNormEps       float64         `json:"rms_norm_eps"`
	RopeTheta        float64         `json:"rope_theta"`
	RopeLocalTheta   float64         `json:"rope_local_base_freq"`
	RopeScaling      *ropeFile       `json:"rope_scaling"`
	RopeParameters   *ropeFile       `json:"rope_parameters"`
	QueryScalar      float64         `json:"query_pre_attn_scalar"`
	TieEmbeddings    bool            `json:"tie_word_embeddings"`
	Experts          int             `json:"num_experts"`
	LocalExperts     int             `json:"num_local_experts"`
	ActiveExperts    int             `json:"num_experts_per_tok"`
	ExpertInner      int             `json:"moe_intermediate_size"`
	NormShares       bool            `json:"norm_topk_prob"`
	SparseStep       int             `json:"decoder_sparse_step"`
	DenseLayers      []int           `json:"mlp_only_layers"`
	BOS              tokenIDs        `json:"bos_token_id"`
	EOS              tokenIDs        `json:"eos_token_id"`

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

// ParseConfig reads the text of config.json. It refuses what would be computed wrongly.
func ParseConfig(data []byte) (Config, error) {
	var outer configFile
	if err := json.Unmarshal(data, &outer); err != nil {
		return Config{}, err
	}
	quantization, err := parseQuantization(data)
	if err != nil {
		return Config{}, err
	}
	if outer.TextConfig != nil {
		data = outer.TextConfig
		if _, err := parseQuantization(data); err != nil {
			return Config{}, fmt.Errorf("text_config: %w", err)
		}
		var inner configFile
		if err := json.Unmarshal(data, &inner); err != nil {
			return Config{}, fmt.Errorf("text_config: %w", err)
		}
		if inner.ModelType == "" { // the type outside is of what the folder's makers built around it
			return Config{}, unsupported(outer.ModelType)
		}
	}
	f, fam, err := parseFamily(data)
	if err != nil {
		return Config{}, err
	}
	if outer.TextConfig != nil {
		// Published multimodal folders have the ids outside text_config, some of them only there.
		if len(outer.EOS) > 0 {
			f.EOS = outer.EOS
		}
		if len(outer.BOS) > 0 {
			f.BOS = outer.BOS
		}
	}
	f.resolve(fam)
	if err := f.checkSizes(); err != nil {
		return Config{}, err
	}
	if err := f.checkKind(fam); err != nil { // which relies on the sizes
		return Config{}, err
	}
	c, err := f.config(fam)
	c.Quantization = quantization
	return c, err
}

// resolve fills in the values that follow from others.
func (f *configFile) resolve(fam *family) {
	if f.KVHeads == nil {
		f.KVHeads = &f.Heads
	}
	if f.HeadDim == nil {
		dim := 0
		if f.Heads > 0 {
			dim = f.HiddenSize / f.Heads
		}
		f.HeadDim = &dim
	}
	if f.LocalExperts > 0 {
		f.Experts = f.LocalExperts
	}
	if f.ModelType == "gemma3_text" {
		setDefault(&f.SlidingPattern, f.SlidingPatternHF)
		setDefault(&f.SlidingPattern, 6)
	}
	if f.RopeParameters != nil {
		p := f.RopeParameters
		if p.Full != nil {
			p = p.Full
		}
		setDefault(&f.RopeTheta, p.Theta)
		setDefault(&f.PartialRotary, p.PartialRotary)
		if s := f.RopeParameters.Sliding; s != nil && s.Theta > 0 {
			f.RopeLocalTheta = s.Theta
		}
		if f.RopeScaling == nil {
			f.RopeScaling = p
		}
	}
	setDefault(&f.RopeTheta, fam.theta)
	setDefault(&f.PartialRotary, 1)
	setDefault(&f.QueryScalar, float64(*f.HeadDim))
}

// config makes the result of numbers that have been checked.
func (f *configFile) config(fam *family) (Config, error) {
	c := Config{
		ModelType: f.ModelType, Architecture: fam.Architecture,
		VocabSize: f.VocabSize, HiddenSize: f.HiddenSize, Layers: f.Layers, Heads: f.Heads,
		KVHeads: *f.KVHeads, HeadDim: *f.HeadDim, Intermediate: f.Intermediate,
		MaxPositions: f.MaxPositions, LayerRope: f.rotates(), RMSNormEps: f.RMSNormEps,
		AttentionScale: 1 / math.Sqrt(f.QueryScalar), EmbeddingScale: 1,
		AttentionCap: f.AttnSoftcap, FinalCap: f.FinalSoftcap,
		TieEmbeddings: f.TieEmbeddings, EOS: f.EOS,
	}
	if c.ScaleEmbedding {
		c.EmbeddingScale = bfloat16(math.Sqrt(float64(c.HiddenSize)))
	}
	if f.AttentionBias {
		c.QKVBias, c.OBias = true, true
	}
	c.MLPBias = c.MLPBias || f.MLPBias
	if f.Experts > 0 {
		c.Experts, c.ActiveExperts, c.NormShares = f.Experts, f.ActiveExperts, f.NormShares
		c.ExpertIntermediate = f.ExpertInner
	}
	if len(f.BOS) > 0 {
		c.BOS = f.BOS[0]
	}
	c.LayerSliding = fam.layers(f)
	for i, t := range f.LayerTypes {
		c.LayerSliding[i] = t == "sliding_attention"
	}
	if slices.Contains(c.LayerSliding, true) {
		c.SlidingWindow = f.window()
	}
	if c.SlidingWindow >= c.MaxPositions { // no token leaves the window
		c.SlidingWindow, c.LayerSliding = 0, make([]bool, c.Layers)
	}
	return c, f.ropes(&c)
}

// ropes computes the rotations of both kinds of layers.
func (f *configFile) ropes(c *Config) (err error) {
	n := ropeSizes{theta: f.RopeTheta, dim: int(float64(c.HeadDim) * f.PartialRotary),
		positions: f.MaxPositions, original: f.Original}
	if c.Rope, err = f.RopeScaling.rope(n); err != nil {
		return err
	}
	if s := f.RopeScaling; s != nil && s.QueryBeta != 0 {
		c.QueryBeta, c.QueryEvery = s.QueryBeta, s.Original
		if c.QueryEvery < 1 {
			return fmt.Errorf("llama_4_scaling_beta %v needs original_max_position_embeddings",
				s.QueryBeta)
		}
	}
	if c.SlidingWindow == 0 {
		return nil
	}
	c.SlidingRope = c.Rope
	if f.RopeLocalTheta > 0 {
		n.theta = f.RopeLocalTheta
		c.SlidingRope, err = (*ropeFile)(nil).rope(n)
	}
	return err
}

// bfloat16 rounds to the nearest bfloat16, ties to even. Gemma was trained in bfloat16, and so with
// a factor of its embedding that is rounded: where hidden_size is 640 it is 25.25, not 25.298.
func bfloat16(x float64) float64 {
	return float64(math.Float32frombits(uint32(floatToBrain(float32(x))) << 16))
}

// window returns the sliding window in tokens, 0 for none.
func (f *configFile) window() int {
	if f.SlidingWindow == nil {
		return 0
	}
	return *f.SlidingWindow
}

// rotates reports for each layer whether it has RoPE.
func (f *configFile) rotates() []bool {
	r := make([]bool, f.Layers)
	for i := range r {
		r[i] = f.NoRopeInterval == 0 || (i+1)%f.NoRopeInterval != 0
		if f.NoRopeLayers != nil {
			r[i] = f.NoRopeLayers[i] != 0
		}
	}
	return r
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
		{"num_key_value_heads", *f.KVHeads, 1 << 10},
		{"head_dim", *f.HeadDim, 1 << 12},
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
		{"query_pre_attn_scalar", f.QueryScalar},
	} {
		if !(x.value > 0) {
			return fmt.Errorf("%s is %v; it must be positive", x.key, x.value)
		}
	}
	if f.Heads%*f.KVHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is not a multiple of num_key_value_heads %d",
			f.Heads, *f.KVHeads)
	}
	if *f.HeadDim%2 != 0 {
		return fmt.Errorf("head_dim %d is odd, and RoPE rotates pairs", *f.HeadDim)
	}
	rotated := float64(*f.HeadDim) * f.PartialRotary
	if !(rotated >= 2 && rotated <= float64(*f.HeadDim)) || int(rotated)%2 != 0 {
		return fmt.Errorf("partial_rotary_factor %v rotates %v of the %d elements of a head; "+
			"it must be an even number of them", f.PartialRotary, rotated, *f.HeadDim)
	}
	for _, id := range slices.Concat(f.EOS, f.BOS) {
		if id < 0 || int(id) >= f.VocabSize {
			return fmt.Errorf("special token %d is outside the vocabulary of %d", id, f.VocabSize)
		}
	}
	return nil
}

// checkKind refuses variants of an architecture that would be computed wrongly without a word.
func (f *configFile) checkKind(fam *family) error {
	want := "silu"
	if fam.GELU {
		want = "gelu_pytorch_tanh"
	}
	act := cmp.Or(f.HiddenActivation, f.HiddenAct)
	if act != "" && act != want {
		return fmt.Errorf("activation %q is not supported for %s; %s is", act, f.ModelType, want)
	}
	for _, x := range []struct {
		key   string
		value any
		ok    bool // the value changes nothing, or the family takes it
	}{
		{"attention_bias", f.AttentionBias, !f.AttentionBias || fam.takes.attentionBias},
		{"mlp_bias", f.MLPBias, !f.MLPBias || fam.takes.mlpBias},
		{"rope_traditional", f.RopeTraditional, !f.RopeTraditional},
		{"use_bidirectional_attention", f.Bidirectional, !f.Bidirectional},
		{"attn_logit_softcapping", f.AttnSoftcap, f.AttnSoftcap == 0 || fam.takes.softcaps},
		{"final_logit_softcapping", f.FinalSoftcap, f.FinalSoftcap == 0 || fam.takes.softcaps},
		{"partial_rotary_factor", f.PartialRotary, f.PartialRotary == 1 || fam.takes.partialRotary},
		{"query_pre_attn_scalar", f.QueryScalar,
			f.QueryScalar == float64(*f.HeadDim) || fam.takes.queryScalar},
		{"num_experts", f.Experts, f.Experts == 0 || fam.takes.experts},
		{"mlp_only_layers", f.DenseLayers, len(f.DenseLayers) == 0},
		{"decoder_sparse_step", f.SparseStep, f.SparseStep == 0 || f.SparseStep == 1},
		{"no_rope_layers", f.NoRopeLayers, f.NoRopeLayers == nil || fam.takes.noRope},
		{"no_rope_layer_interval", f.NoRopeInterval, f.NoRopeInterval == 0 || fam.takes.noRope},
	} {
		if !x.ok {
			return fmt.Errorf("%s %v is not supported for %s", x.key, x.value, f.ModelType)
		}
	}
	if f.AttnSoftcap < 0 || f.FinalSoftcap < 0 {
		return fmt.Errorf("attn_logit_softcapping %v and final_logit_softcapping %v must not be "+
			"negative", f.AttnSoftcap, f.FinalSoftcap)
	}
	if n := len(f.NoRopeLayers); f.NoRopeLayers != nil && n < f.Layers || f.NoRopeInterval < 0 {
		return fmt.Errorf("no_rope_layers has %d layers, num_hidden_layers is %d", n, f.Layers)
	}
	if fam.takes.experts && (f.Experts < 1 || f.Experts > 1<<12 || f.ActiveExperts < 1 ||
		f.ActiveExperts > f.Experts || f.ExpertInner < 1 || f.ExpertInner > 1<<20) {
		return fmt.Errorf("num_experts %d, num_experts_per_tok %d and moe_intermediate_size %d are "+
			"not those of a mixture of experts", f.Experts, f.ActiveExperts, f.ExpertInner)
	}
	return f.checkLayers(fam)
}

// checkLayers checks which layers slide.
func (f *configFile) checkLayers(fam *family) error {
	if f.SlidingPattern < 0 || f.RopeLocalTheta < 0 || f.window() < 0 {
		return fmt.Errorf("sliding_window %d, sliding_window_pattern %d and "+
			"rope_local_base_freq %v must be positive",
			f.window(), f.SlidingPattern, f.RopeLocalTheta)
	}
	if n := len(f.LayerTypes); n != 0 && n != f.Layers {
		return fmt.Errorf("layer_types has %d layers, num_hidden_layers is %d", n, f.Layers)
	}
	slides := slices.Contains(fam.layers(f), true)
	for _, t := range f.LayerTypes {
		if t == "sliding_attention" && f.window() > 0 {
			slides = true
		} else if t != "full_attention" {
			return fmt.Errorf("layer type %q is not supported for %s", t, f.ModelType)
		}
	}
	if slides && f.window() < 1 {
		return fmt.Errorf("sliding_window is %d and layers slide", f.window())
	}
	return nil
}
