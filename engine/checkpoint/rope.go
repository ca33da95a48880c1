package checkpoint

import (
	"fmt"
	"math"
)

// Rope says how a layer's queries and keys are rotated by their position p: element i of a head and
// element i + len(Frequencies) by the angle p times Frequencies[i]. Elements from 2
// len(Frequencies) on stay as they are.
type Rope struct {
	Frequencies []float64 // radians a position
	Scale       float64   // what is rotated is multiplied by it: 1 but for yarn and longrope
}

// ropeFile is rope_scaling in config.json, or rope_parameters, where Transformers 5 keeps
// everything about RoPE: flat, or by kind of layer for Gemma 3.
type ropeFile struct {
	Type            string    `json:"rope_type"`
	OldType         string    `json:"type"`
	Theta           float64   `json:"rope_theta"`
	Factor          float64   `json:"factor"`
	Original        int       `json:"original_max_position_embeddings"`
	LowFreqFactor   float64   `json:"low_freq_factor"`
	HighFreqFactor  float64   `json:"high_freq_factor"`
	AttentionFactor *float64  `json:"attention_factor"`
	BetaFast        float64   `json:"beta_fast"`
	BetaSlow        float64   `json:"beta_slow"`
	MScale          float64   `json:"mscale"`
	MScaleAllDim    float64   `json:"mscale_all_dim"`
	Truncate        *bool     `json:"truncate"`
	ShortFactor     []float64 `json:"short_factor"`
	LongFactor      []float64 `json:"long_factor"`
	PartialRotary   float64   `json:"partial_rotary_factor"`
	QueryBeta       float64   `json:"llama_4_scaling_beta"`

	Full    *ropeFile `json:"full_attention"`
	Sliding *ropeFile `json:"sliding_attention"`
}

func (r *ropeFile) kind() string {
	if r == nil {
		return "default"
	}
	for _, kind := range []string{r.Type, r.OldType} {
		if kind != "" {
			return kind
		}
	}
	return "default"
}

// ropeSizes are the numbers of a network that RoPE depends on.
type ropeSizes struct {
	theta     float64
	dim       int // elements of a head that are rotated
	positions int // max_position_embeddings
	original  int // original_max_position_embeddings where it stands outside rope_scaling, else 0
}

// rope computes the frequencies as Transformers does (modeling_rope_utils.py there).
func (r *ropeFile) rope(n ropeSizes) (Rope, error) {
	out, err := r.compute(n)
	if err != nil {
		return Rope{}, err
	}
	for _, x := range append(out.Frequencies, out.Scale) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return Rope{}, fmt.Errorf("RoPE scaling %q gives frequencies that are not finite",
				r.kind())
		}
	}
	return out, nil
}

func (r *ropeFile) compute(n ropeSizes) (Rope, error) {
	plain := make([]float64, n.dim/2)
	for i := range plain {
		plain[i] = math.Pow(n.theta, -2*float64(i)/float64(n.dim))
	}
	out := Rope{Frequencies: plain, Scale: 1}
	kind := r.kind()
	if r != nil && n.original == 0 {
		n.original = r.Original
	}
	if kind == "yarn" && r.ShortFactor != nil { // what early folders of Phi-3 call it
		kind = "longrope"
	}
	switch kind {
	case "default":
		return out, nil
	case "dynamic":
		// Transformers raises the base for sequences that are longer than
		// max_position_embeddings. No sequence here is.
		return out, nil
	case "linear":
		if err := r.positive(kind, r.Factor); err != nil {
			return Rope{}, err
		}
		for i := range plain {
			plain[i] /= r.Factor
		}
		return out, nil
	case "llama3":
		return out, r.llama3(plain, n.original)
	case "yarn":
		return r.yarn(plain, n)
	case "longrope", "su":
		return r.long(plain, n)
	}
	return Rope{}, fmt.Errorf("RoPE scaling %q is not supported; "+
		"linear, dynamic, llama3, yarn and longrope are", kind)
}

// positive refuses a kind of scaling that lacks one of its numbers.
func (r *ropeFile) positive(kind string, numbers ...float64) error {
	for _, x := range numbers {
		if !(x > 0) {
			return fmt.Errorf("RoPE scaling %q needs factors above 0; the file has factor %v, "+
				"low_freq_factor %v, high_freq_factor %v, original_max_position_embeddings %d",
				kind, r.Factor, r.LowFreqFactor, r.HighFreqFactor, r.Original)
		}
	}
	return nil
}

// llama3 divides low frequencies by the factor, leaves high ones alone, and goes over from one to
// the other in between.
func (r *ropeFile) llama3(freq []float64, original int) error {
	err := r.positive("llama3", r.Factor, r.LowFreqFactor, r.HighFreqFactor, float64(original),
		r.HighFreqFactor-r.LowFreqFactor)
	if err != nil {
		return err
	}
	for i, f := range freq {
		turns := float64(original) * f / (2 * math.Pi) // in the original context
		smooth := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
		smooth = min(max(smooth, 0), 1)
		freq[i] = (1-smooth)*f/r.Factor + smooth*f
	}
	return nil
}

// yarn computes the frequencies of YaRN (Peng et al., arXiv 2309.00071).
func (r *ropeFile) yarn(freq []float64, n ropeSizes) (Rope, error) {
	if err := r.positive("yarn", float64(n.original)); err != nil {
		return Rope{}, err
	}
	factor := r.Factor
	if factor == 0 {
		factor = float64(n.positions) / float64(n.original)
	}
	if err := r.positive("yarn", factor); err != nil {
		return Rope{}, err
	}
	// The pair that turns so often in the original context.
	pair := func(turns float64) float64 {
		return float64(n.dim) * math.Log(float64(n.original)/(turns*2*math.Pi)) /
			(2 * math.Log(n.theta))
	}
	fast, slow := r.BetaFast, r.BetaSlow
	setDefault(&fast, 32)
	setDefault(&slow, 1)
	low, high := pair(fast), pair(slow)
	if r.Truncate == nil || *r.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(n.dim-1))
	if low == high {
		high += 0.001
	}
	for i, f := range freq {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		freq[i] = f/factor*ramp + f*(1-ramp)
	}
	return Rope{Frequencies: freq, Scale: r.yarnScale(factor)}, nil
}

func (r *ropeFile) yarnScale(factor float64) float64 {
	scale := func(m float64) float64 {
		if factor <= 1 {
			return 1
		}
		return 0.1*m*math.Log(factor) + 1
	}
	switch {
	case r.AttentionFactor != nil:
		return *r.AttentionFactor
	case r.MScale != 0 && r.MScaleAllDim != 0:
		return scale(r.MScale) / scale(r.MScaleAllDim)
	}
	return scale(1)
}

// long computes the frequencies of LongRoPE, which has a factor for each. It takes the list of
// factors for the whole context, as llama.cpp and mlx-lm do. Transformers takes the short list for
// sequences within the original context, and so computes other keys for the same beginning when
// the sequence outgrows it.
func (r *ropeFile) long(freq []float64, n ropeSizes) (Rope, error) {
	if n.original == 0 {
		n.original = n.positions
	}
	list, key := r.ShortFactor, "short_factor"
	if n.positions > n.original {
		list, key = r.LongFactor, "long_factor"
	}
	if len(list) != len(freq) {
		return Rope{}, fmt.Errorf("RoPE scaling %q has a %s of %d numbers; %d elements are rotated "+
			"in pairs", r.kind(), key, len(list), n.dim)
	}
	if err := r.positive(key, list...); err != nil {
		return Rope{}, err
	}
	for i := range freq {
		freq[i] /= list[i]
	}
	factor, scale := r.Factor, 1.0
	if factor == 0 {
		factor = float64(n.positions) / float64(n.original)
	}
	if factor > 1 {
		scale = math.Sqrt(1 + math.Log(factor)/math.Log(float64(n.original)))
	}
	if r.AttentionFactor != nil {
		scale = *r.AttentionFactor
	}
	return Rope{Frequencies: freq, Scale: scale}, nil
}
