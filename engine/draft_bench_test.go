package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/engine/catalog"
	"loadstone/engine/grammar"
	"loadstone/engine/tokenizer"
	"loadstone/metal"
)

// BenchmarkDrafts has five kinds of answers made with drafts and without, in turns: a file written
// again with one change, calls of a tool as JSON, an answer that quotes its document, free prose,
// and a form held to a strict JSON schema, which has a turn without what the schema knows ahead as
// well. Each operation has one answer of each; its length is 256 tokens, or less where the model
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
			vocabulary := grammar.NewVocabulary(m.Vocab(), text.AppendToken, text.StopTokens())
			files, err := filepath.Glob("testdata/drafts/*.txt")
			if err != nil {
				b.Fatal(err)
			}
			for _, file := range files {
				name := strings.TrimSuffix(file, ".txt")
				w := work{model: &benchModel{Model: m}, vocabulary: vocabulary}
				question, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				w.request = Request{MaxTokens: 256, Stop: text.StopTokens()}
				w.request.Prompt, err = text.EncodeChat([]string{"user"}, []string{string(question)}, nil, nil, 0)
				if err != nil {
					b.Fatal(err)
				}
				if schema, err := os.ReadFile(name + ".json"); err == nil {
					if w.schema, err = grammar.Schema(schema); err != nil {
						b.Fatal(err)
					}
				}
				b.Run("work="+filepath.Base(name)+"/greedy", w.bench)
				w.request.Sampling = Sampling{Temperature: 0.7, TopP: 0.9, Seed: 7}
				b.Run("work="+filepath.Base(name)+"/drawn", w.bench)
			}
		})
	}
}

// A work is a question that BenchmarkDrafts has answered.
type work struct {
	model      Model
	request    Request
	schema     *grammar.Grammar // that holds the answer; nil: none
	vocabulary *grammar.Vocabulary
}

// answer answers it, without drafts, with copies of the context alone, or with all drafts there
// are.
func (w *work) answer(b *testing.B, drafts, ahead bool) ([]int32, Result) {
	e, err := New(Config{Model: w.model, KVBytes: benchTokens * int64(tokenBytes(w.model)),
		NoDrafts: !drafts})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	r := w.request
	if w.schema != nil {
		m := w.schema.Mask(w.vocabulary)
		if r.Mask = m.Rule; ahead {
			r.Ahead = m.Ahead
		}
	}
	s, err := e.Submit(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	return drainTokens(s), s.Result()
}

// bench measures the answer from its first token on.
func (w *work) bench(b *testing.B) {
	var plain, copies, with time.Duration
	var tokens, drafted, accepted int
	for b.Loop() {
		want, r := w.answer(b, false, false)
		plain += r.Decode
		if w.schema != nil {
			got, r := w.answer(b, true, false)
			if copies += r.Decode; !slices.Equal(got, want) {
				b.Fatalf("with copies %v, without %v", got, want)
			}
		}
		got, r := w.answer(b, true, true)
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
	if w.schema != nil {
		b.ReportMetric(copies.Seconds()/with.Seconds(), "x-copies")
	}
	b.ReportMetric(float64(tokens)/float64(b.N), "tokens/answer")
	b.ReportMetric(float64(drafted)/float64(tokens), "drafted/token")
	b.ReportMetric(float64(accepted)/float64(max(drafted, 1)), "accepted/drafted")
	b.ReportMetric(float64(tokens)/float64(max(tokens-accepted, 1)), "tokens/step")
}
