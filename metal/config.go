package metal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// config is what config.json says, with every default resolved and every number checked.
type config struct {
	gemma                                 bool // else Llama
	vocab, hidden, layers, heads, kvHeads int
	headDim, intermediate, maxPositions   int
	window                                int    // tokens a sliding layer sees
	sliding                               []bool // by layer
	eps, ropeTheta, ropeLocalTheta        float64
	ropeScale                             float64 // multiplies positions in layers that do not slide
	attentionScale, embeddingScale        float64
	tied                                  bool // the embedding is the head, whatever else the files hold
}

// configFile has the keys of config.json that matter here. Pointers tell absent from zero.
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
	SlidingPattern2    int             `json:"_sliding_window_pattern"`
	LayerTypes         []string        `json:"layer_types"`
	RMSNormEps         float64         `json:"rms_norm_eps"`
	RopeTheta          float64         `json:"rope_theta"`
	RopeLocalTheta     float64         `json:"rope_local_base_freq"`
	RopeScaling        *ropeScaling    `json:"rope_scaling"`
	RopeParameters     json.RawMessage `json:"rope_parameters"`
	QueryPreAttnScalar float64         `json:"query_pre_attn_scalar"`
	Tied               *bool           `json:"tie_word_embeddings"`
	HiddenAct          string          `json:"hidden_act"`
	HiddenActivation   string          `json:"hidden_activation"`
	AttentionBias      bool            `json:"attention_bias"`
	MLPBias            bool            `json:"mlp_bias"`
	RopeTraditional    bool            `json:"rope_traditional"`
	Bidirectional      bool            `json:"use_bidirectional_attention"`
	AttnSoftcap        float64         `json:"attn_logit_softcapping"`
	FinalSoftcap       float64         `json:"final_logit_softcapping"`
	Quantization       *struct {
		Mode string `json:"mode"`
	} `json:"quantization"`
}

type ropeScaling struct {
	Type      string  `json:"rope_type"`
	OldType   string  `json:"type"`
	Factor    float64 `json:"factor"`
	RopeTheta float64 `json:"rope_theta"`
}

// readConfig reads config.json in dir. Its errors name the key and the way out.
func readConfig(dir string) (config, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, fmt.Errorf("%s has no config.json: give a Hugging Face or mlx-community model folder", dir)
	} else if err != nil {
		return config{}, err
	}
	cfg, err := parseConfig(data)
	if err != nil {
		return config{}, fmt.Errorf("%s: %w", path, err)
	}
	return cfg, nil
}

func parseConfig(data []byte) (config, error) {
	var f configFile
	if err := json.Unmarshal(data, &f); err != nil {
		return config{}, err
	}
	quantization := f.Quantization // beside text_config, not inside
	outer := f.ModelType
	if f.TextConfig != nil {
		inner := f.TextConfig
		f = configFile{}
		if err := json.Unmarshal(inner, &f); err != nil {
			return config{}, fmt.Errorf("text_config: %w", err)
		}
	}
	gemma := false
	switch f.ModelType {
	case "llama":
	case "gemma3_text", "gemma3":
		gemma = true
	default:
		if outer == "" {
			outer = f.ModelType
		}
		return config{}, fmt.Errorf("model_type %q is not supported; llama, gemma3 and gemma3_text are", outer)
	}
	if gemma {
		f.gemmaDefaults()
	} else {
		f.llamaDefaults()
	}
	if quantization != nil && quantization.Mode != "" && quantization.Mode != "affine" {
		return config{}, fmt.Errorf("quantization.mode %q is not supported; affine is", quantization.Mode)
	}
	if err := f.check(gemma); err != nil {
		return config{}, err
	}

	c := config{
		gemma: gemma, vocab: f.VocabSize, hidden: f.HiddenSize, layers: f.Layers, heads: f.Heads, kvHeads: f.KVHeads,
		headDim: f.HeadDim, intermediate: f.Intermediate, maxPositions: f.MaxPositions, window: f.SlidingWindow,
		sliding: make([]bool, f.Layers), eps: f.RMSNormEps, ropeTheta: f.RopeTheta, ropeLocalTheta: f.RopeLocalTheta,
		ropeScale: 1, attentionScale: 1 / math.Sqrt(f.QueryPreAttnScalar), embeddingScale: 1,
		tied: f.Tied != nil && *f.Tied || gemma && f.Tied == nil,
	}
	if gemma {
		// Gemma was trained in bfloat16, and with it this factor: 25.25 where hidden_size is 640, not 25.298.
		c.embeddingScale = bfloat16(math.Sqrt(float64(c.hidden)))
		for i := range c.sliding {
			c.sliding[i] = (i+1)%f.SlidingPattern != 0
		}
		for i, t := range f.LayerTypes {
			c.sliding[i] = t == "sliding_attention"
		}
	}
	if s := f.RopeScaling; s != nil && s.Factor != 0 {
		c.ropeScale = 1 / s.Factor
	}
	return c, nil
}

// gemmaDefaults fills in what Gemma 3's published files leave to the Transformers library.
func (f *configFile) gemmaDefaults() {
	setDefault(&f.VocabSize, 262208)
	setDefault(&f.Heads, 8)
	setDefault(&f.KVHeads, 4)
	setDefault(&f.HeadDim, 256)
	setDefault(&f.MaxPositions, 131072)
	setDefault(&f.SlidingWindow, 4096)
	setDefault(&f.SlidingPattern, f.SlidingPattern2)
	setDefault(&f.SlidingPattern, 6)
	setDefault(&f.RMSNormEps, 1e-6)
	setDefault(&f.QueryPreAttnScalar, 256)
	var byType struct {
		Full  *ropeScaling `json:"full_attention"`
		Local *ropeScaling `json:"sliding_attention"`
	}
	if json.Unmarshal(f.RopeParameters, &byType) == nil && byType.Full != nil && byType.Local != nil {
		setDefault(&f.RopeTheta, byType.Full.RopeTheta)
		setDefault(&f.RopeLocalTheta, byType.Local.RopeTheta)
		if f.RopeScaling == nil {
			f.RopeScaling = byType.Full
		}
	}
	setDefault(&f.RopeTheta, 1e6)
	setDefault(&f.RopeLocalTheta, 1e4)
}

func (f *configFile) llamaDefaults() {
	setDefault(&f.KVHeads, f.Heads)
	if f.Heads > 0 {
		setDefault(&f.HeadDim, f.HiddenSize/f.Heads)
	}
	setDefault(&f.MaxPositions, 2048)
	setDefault(&f.RMSNormEps, 1e-6)
	var rope ropeScaling
	if json.Unmarshal(f.RopeParameters, &rope) == nil {
		setDefault(&f.RopeTheta, rope.RopeTheta)
		if f.RopeScaling == nil {
			f.RopeScaling = &rope
		}
	}
	setDefault(&f.RopeTheta, 1e4)
	f.QueryPreAttnScalar = float64(f.HeadDim)
	f.SlidingWindow = 0
}

func setDefault[T int | float64](p *T, v T) {
	if *p == 0 {
		*p = v
	}
}

// check refuses what the network would compute wrongly, and sizes that no memory holds.
func (f *configFile) check(gemma bool) error {
	for _, n := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", f.VocabSize, 1 << 22}, {"hidden_size", f.HiddenSize, 1 << 16}, {"num_hidden_layers", f.Layers, 1 << 10},
		{"num_attention_heads", f.Heads, 1 << 10}, {"num_key_value_heads", f.KVHeads, 1 << 10}, {"head_dim", f.HeadDim, 1 << 12},
		{"intermediate_size", f.Intermediate, 1 << 20}, {"max_position_embeddings", f.MaxPositions, 1 << 24},
	} {
		if n.value < 1 || n.value > n.max {
			return fmt.Errorf("%s is %d, want 1 to %d", n.key, n.value, n.max)
		}
	}
	for _, x := range []struct {
		key   string
		value float64
	}{{"rms_norm_eps", f.RMSNormEps}, {"rope_theta", f.RopeTheta}, {"query_pre_attn_scalar", f.QueryPreAttnScalar}} {
		if !(x.value > 0) {
			return fmt.Errorf("%s is %v, want more than 0", x.key, x.value)
		}
	}
	if f.Heads%f.KVHeads != 0 {
		return fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d", f.Heads, f.KVHeads)
	}
	if f.HeadDim%2 != 0 {
		return fmt.Errorf("head_dim %d is odd: rope turns pairs", f.HeadDim)
	}
	act, want := f.HiddenAct, "silu"
	if gemma {
		want = "gelu_pytorch_tanh"
		if f.HiddenActivation != "" {
			act = f.HiddenActivation
		}
		if f.SlidingWindow < 1 || f.SlidingPattern < 1 || !(f.RopeLocalTheta > 0) {
			return fmt.Errorf("sliding_window %d, sliding_window_pattern %d and rope_local_base_freq %v must be positive", f.SlidingWindow, f.SlidingPattern, f.RopeLocalTheta)
		}
		if n := len(f.LayerTypes); n != 0 && n != f.Layers {
			return fmt.Errorf("layer_types names %d layers, num_hidden_layers %d", n, f.Layers)
		}
	}
	if act != "" && act != want {
		return fmt.Errorf("activation %q is not supported for this architecture; %s is", act, want)
	}
	if f.AttentionBias || f.MLPBias || f.RopeTraditional || f.Bidirectional || f.AttnSoftcap != 0 || f.FinalSoftcap != 0 {
		return errors.New("attention_bias, mlp_bias, rope_traditional, use_bidirectional_attention and logit softcapping are not supported")
	}
	for _, t := range f.LayerTypes {
		if t != "full_attention" && !(gemma && t == "sliding_attention") {
			return fmt.Errorf("layer type %q is not supported for this architecture", t)
		}
	}
	if s := f.RopeScaling; s != nil {
		typ := s.Type
		if typ == "" {
			typ = s.OldType
		}
		switch {
		case typ == "" || typ == "default":
			s.Factor = 0
		case typ == "linear" && s.Factor > 0:
		default:
			return fmt.Errorf("rope scaling %q with factor %v is not supported; linear is", typ, s.Factor)
		}
	}
	return nil
}

// bfloat16 rounds to the nearest bfloat16, ties to even.
func bfloat16(x float64) float64 {
	bits := math.Float32bits(float32(x))
	bits += 0x7fff + bits>>16&1
	return float64(math.Float32frombits(bits &^ 0xffff))
}
