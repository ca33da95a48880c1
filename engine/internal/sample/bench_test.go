package sample

import (
	"fmt"
	"testing"
)

// BenchmarkDraw draws one token from a vocabulary of Gemma's size.
func BenchmarkDraw(b *testing.B) {
	logits := make([]float32, 262144)
	for i := range logits {
		logits[i] = float32(i*7919%10007) / 500
	}
	for _, s := range []Sampling{
		{},
		{Temperature: 0.8},
		{Temperature: 0.8, TopP: 0.9},
		{Temperature: 0.8, TopP: 0.95},
		{Temperature: 0.8, TopK: 40, TopP: 0.95},
	} {
		b.Run(fmt.Sprintf("t=%g/p=%g/k=%d", s.Temperature, s.TopP, s.TopK), func(b *testing.B) {
			one := New(s, nil, nil, 0)
			var d Distribution
			b.ReportAllocs()
			for b.Loop() {
				one.Draw(logits, &d)
			}
		})
	}
}
