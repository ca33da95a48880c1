package metal

import (
	"math"
	"testing"

	"loadstone/engine/checkpoint"
)

func TestFactors(t *testing.T) {
	gemma := factorsOf(&checkpoint.Config{
		ModelType: "gemma3_text", HiddenSize: 640, RopeFactor: 8, QueryPreAttnScalar: 256,
	})
	// The embedding's factor is the square root of 640 in bfloat16.
	if want := (factors{rope: 1.0 / 8, attention: 1.0 / 16, embedding: 25.25}); gemma != want {
		t.Errorf("Gemma: %+v, want %+v", gemma, want)
	}
	llama := factorsOf(&checkpoint.Config{
		ModelType: "llama", HiddenSize: 640, RopeFactor: 1, QueryPreAttnScalar: 64,
	})
	if want := (factors{rope: 1, attention: 1 / math.Sqrt(64), embedding: 1}); llama != want {
		t.Errorf("Llama: %+v, want %+v", llama, want)
	}
}
