package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/engine/catalog"
	"loadstone/engine/tokenizer"
	"loadstone/metal"
)

// BenchmarkDrafts has four kinds of answers made with drafts and without, in turns: a file written
// again with one change, calls of a tool as JSON, an answer that quotes its document, and free
// prose. Each operation has one answer of each; its length is 256 tokens, or less where the model
// ends it. It fails where the answers differ.
func BenchmarkDrafts(b *testing.B) {
	for _, name := range []string{"smollm2", "gemma3-270m"} {
		b.Run("model="+name, func(b *testing.B) {
			if !metal.Available {
				b.Skip(metal.ErrUnavailable)
			}
			src, err := catalog.Open(name)
			if err != nil {
				b.Skip(err)
			}
			text, err := tokenizer.Load(src.FS)
			if err != nil {
				b.Fatal(err)
			}
			m, err := openMLX(name)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			keep := &benchModel{Model: m}
			files, err := filepath.Glob("testdata/drafts/*.txt")
			if err != nil {
				b.Fatal(err)
			}
			for _, file := range files {
				question, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				prompt, err := text.EncodeChat([]string{"user"}, []string{string(question)}, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				work := strings.TrimSuffix(filepath.Base(file), ".txt")
				for _, temperature := range []float64{0, 0.7} {
					kind := "greedy"
					if temperature > 0 {
						kind = "drawn"
					}
					b.Run("work="+work+"/"+kind, func(b *testing.B) {
						benchDrafts(b, keep, prompt, text.StopTokens(), temperature)
					})
				}
			}
		})
	}
}

// benchDrafts measures one kind of answer, from its first token on.
func benchDrafts(b *testing.B, m *benchModel, prompt, stop []int32, temperature float64) {
	answer := func(noDrafts bool) ([]int32, Result) {
		e, err := New(Config{Model: m, KVBytes: benchTokens * int64(tokenBytes(m)),
			NoDrafts: noDrafts})
		if err != nil {
			b.Fatal(err)
		}
		defer e.Close()
		r := Request{Prompt: prompt, MaxTokens: 256, Stop: stop}
		if temperature > 0 {
			r.Sampling = Sampling{Temperature: temperature, TopP: 0.9, Seed: 7}
		}
		s, err := e.Submit(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		return drainTokens(s), s.Result()
	}
	var plain, with time.Duration
	var tokens, drafted, accepted int
	for b.Loop() {
		want, r := answer(true)
		plain += r.Decode
		got, r := answer(false)
		with += r.Decode
		if !slices.Equal(got, want) {
			b.Fatalf("with drafts %v, without %v", got, want)
		}
		tokens += len(got)
		drafted, accepted = drafted+r.Drafted, accepted+r.Accepted
	}
	b.ReportMetric(float64(tokens)/plain.Seconds(), "plain-tok/s")
	b.ReportMetric(float64(tokens)/with.Seconds(), "tok/s")
	b.ReportMetric(plain.Seconds()/with.Seconds(), "x-plain")
	b.ReportMetric(float64(tokens)/float64(b.N), "tokens/answer")
	b.ReportMetric(float64(drafted)/float64(tokens), "drafted/token")
	b.ReportMetric(float64(accepted)/float64(max(drafted, 1)), "accepted/drafted")
}
