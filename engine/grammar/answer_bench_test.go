package grammar

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkAnswer measures the masks of a whole answer, one token for each of its bytes, with a
// vocabulary of 32768 tokens.
func BenchmarkAnswer(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	texts := make([]string, 32768)
	for i := range texts {
		for range 1 + r.IntN(8) {
			texts[i] += string(rune(' ' + r.IntN(95)))
		}
	}
	for i := range 256 {
		texts[i] = string([]byte{byte(i)})
	}
	v := NewVocabulary(len(texts), func(dst []byte, id int32) []byte { return append(dst, texts[id]...) }, nil)
	logits := make([]float32, len(texts))
	for name, test := range map[string]struct{ schema, answer string }{
		"tool": {benchSchemas()["tool"], `{"path":"/usr/share/doc/README","mode":"add","line":1234,` +
			`"tags":["one","two"],"deep":{"a":true,"b":-1.5e3}}`},
		"length": {`{"type":"string","maxLength":2000}`, `"The quick brown fox jumps over the lazy dog, and again."`},
	} {
		g, err := Schema([]byte(test.schema))
		if err != nil {
			b.Fatal(err)
		}
		b.Run("schema="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mask := g.Mask(v).Rule
				var ids []int32
				for _, c := range []byte(test.answer) {
					mask(ids, logits)
					ids = append(ids, int32(c))
				}
				mask(ids, logits)
			}
		})
	}
}
