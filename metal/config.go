package metal

import (
	"math"

	"loadstone/engine/checkpoint"
)

// factors are the numbers that the network multiplies with, where config.json has divisors or
// leaves them to the architecture.
type factors struct {
	rope      float64 // of positions in the global layers
	attention float64 // of attention scores
	embedding float64 // of the embedding's rows
}

func factorsOf(c *checkpoint.Config) factors {
	f := factors{
		rope:      1 / c.RopeFactor,
		attention: 1 / math.Sqrt(c.QueryPreAttnScalar),
		embedding: 1,
	}
	if isGemma(c) {
		// Gemma was trained in bfloat16, and so with this factor in bfloat16: where hidden_size is
		// 640 it is 25.25, not 25.298.
		f.embedding = bfloat16(math.Sqrt(float64(c.HiddenSize)))
	}
	return f
}

// isGemma tells the two architectures apart: Gemma 3, else Llama.
func isGemma(c *checkpoint.Config) bool { return c.ModelType == "gemma3_text" }

// bfloat16 rounds to the nearest bfloat16, ties to even.
func bfloat16(x float64) float64 {
	bits := math.Float32bits(float32(x))
	bits += 0x7fff + bits>>16&1
	return float64(math.Float32frombits(bits &^ 0xffff))
}
