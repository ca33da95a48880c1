package load

import (
	"strconv"
	"testing"
)

func TestCanariesAreNoNumbers(t *testing.T) {
	for seed := range uint64(10_000) {
		word := Canary(seed)
		if _, err := strconv.Atoi(word); err == nil || len(word) != CanaryLength {
			t.Fatalf("seed %d: the canary %q could be a part of a number", seed, word)
		}
	}
}
