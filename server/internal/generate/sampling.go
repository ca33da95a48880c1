package generate

import (
	"math"
	"math/rand/v2"
	"strconv"

	"loadstone/engine"
	"loadstone/server/internal/wire"
)

// Limits of what a request may ask for.
const (
	maxStopLength = 1 << 10 // bytes of a stop string
	maxBiases     = 1024    // tokens in logit_bias
)

// SamplingFields are a body's fields that say how tokens are drawn, as the client sent them.
type SamplingFields struct {
	Temperature *float64           // 0 to 2; nil: 1
	TopP        *float64           // 0 to 1; nil: 1
	TopK        int                // 0 or -1: off
	MinP        float64            // 0 to 1; 0: off
	Presence    float64            // -2 to 2
	Frequency   float64            // -2 to 2
	Repetition  *float64           // above 0, to 10; nil: 1, which is off
	Seed        *int64             // nil: another one for each request
	Bias        map[string]float64 // from token ids to -100 to 100
}

// Sampling checks the fields and returns them in the engine's terms.
func (f SamplingFields) Sampling() (engine.Sampling, error) {
	var s engine.Sampling
	for _, field := range []struct {
		name     string
		value    float64
		min, max float64
	}{
		{"temperature", orDefault(f.Temperature, 1), 0, 2},
		{"top_p", orDefault(f.TopP, 1), 0, 1},
		{"min_p", f.MinP, 0, 1},
		{"presence_penalty", f.Presence, -2, 2},
		{"frequency_penalty", f.Frequency, -2, 2},
	} {
		if !(field.value >= field.min && field.value <= field.max) {
			return s, Invalid(field.name, "%s: %v; want %v to %v", field.name, field.value,
				field.min, field.max)
		}
	}
	if r := orDefault(f.Repetition, 1); !(r > 0 && r <= 10) {
		return s, Invalid("repetition_penalty", "repetition_penalty: %v; want more than 0, at most 10",
			r)
	}
	if f.TopK < -1 {
		return s, Invalid("top_k", "top_k: %d; want at least 1, or 0 for off", f.TopK)
	}
	s.Temperature, s.TopP, s.TopK = orDefault(f.Temperature, 1), orDefault(f.TopP, 1), max(f.TopK,
		0)
	if s.TopP == 0 { // means the likeliest token alone, whereas the engine's 0 means off
		s.Temperature = 0
	}
	s.MinP, s.Presence, s.Frequency = f.MinP, f.Presence, f.Frequency
	s.Repetition = orDefault(f.Repetition, 1)
	s.Seed = rand.Uint64()
	if f.Seed != nil {
		s.Seed = uint64(*f.Seed)
	}
	var err error
	s.Bias, err = f.bias()
	return s, err
}

func (f SamplingFields) bias() (map[int32]float64, error) {
	if len(f.Bias) > maxBiases {
		return nil, Invalid("logit_bias", "logit_bias: %d tokens; at most %d", len(f.Bias),
			maxBiases)
	}
	if len(f.Bias) == 0 {
		return nil, nil
	}
	bias := make(map[int32]float64, len(f.Bias))
	for token, b := range f.Bias {
		id, err := strconv.ParseInt(token, 10, 32)
		if err != nil || id < 0 || strconv.FormatInt(id, 10) != token {
			return nil, Invalid("logit_bias", "logit_bias: %q; want token ids as keys", token)
		}
		if !(math.Abs(b) <= 100) {
			return nil, Invalid("logit_bias", "logit_bias: %v for token %d; want -100 to 100", b,
				id)
		}
		bias[int32(id)] = b
	}
	return bias, nil
}

func orDefault(p *float64, value float64) float64 {
	if p == nil {
		return value
	}
	return *p
}

// CheckStops checks the stop strings of a body's field.
func CheckStops(field string, stops []string, limit int) error {
	if len(stops) > limit {
		return Invalid(field, "%s: %d strings; at most %d", field, len(stops), limit)
	}
	for _, stop := range stops {
		if stop == "" || len(stop) > maxStopLength {
			return Invalid(field, "%s: a string of %d bytes; want 1 to %d", field, len(stop),
				maxStopLength)
		}
	}
	return nil
}

// CheckWhole checks the stop strings of a body's field, which have the JSON raw: half of a
// surrogate pair reads as U+FFFD, which may stand in an answer that the stop string never stood in.
func CheckWhole(field string, raw []byte) error {
	if wire.IsWhole(raw) {
		return nil
	}
	return Invalid(field, "%s: has half of a surrogate pair or a byte that is not UTF-8, "+
		"which no answer can have", field)
}
