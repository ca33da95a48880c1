package engine

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// A pacedModel's steps take a while, as a real model's do; its KV takes 4 KiB a token.
type pacedModel struct{ fatFake }

func (m pacedModel) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	began := time.Now()
	for time.Since(began) < 200*time.Microsecond {
	}
	clear(best)
	clear(logits)
	return nil
}

func (m pacedModel) ReadKV(block, window, tokens int, dst []byte) error {
	clear(dst)
	return nil
}

// BenchmarkBusyAgents measures how long a turn of an agent takes that never rests, beside others that
// do not either, with and without a bound on the age of turns that are not on disk. A turn has eight
// steps; a memory grows to 1 MiB and begins anew.
func BenchmarkBusyAgents(b *testing.B) {
	for _, within := range []time.Duration{-1, 0, 10 * time.Second, time.Second, 100 * time.Millisecond} {
		name := fmt.Sprint("save-within=", within)
		cfg := Config{Model: pacedModel{fatFake{newFake()}}, KVBytes: 64 << 20, Fingerprint: "fake"}
		if within < 0 {
			name = "no-disk"
		} else {
			cfg.Dir, cfg.SaveWithin = b.TempDir(), within
		}
		b.Run(name, func(b *testing.B) {
			e, err := New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			ctx, cancel := context.WithCancel(b.Context())
			others := make(chan struct{})
			turns := func(agent string, more func() bool) {
				text, talks := count(len(agent), 40), 0
				for more() {
					if len(text) > 256 {
						talks++
						text = count(talks, 40)
					}
					s, err := e.Submit(ctx, Request{Agent: agent, Prompt: text, MaxTokens: 8})
					if err != nil {
						return
					}
					text = append(append(text, drainTokens(s)...), 7)
				}
			}
			for i := range 3 {
				go func() {
					turns(fmt.Sprint("other", i), func() bool { return ctx.Err() == nil })
					others <- struct{}{}
				}()
			}
			b.ReportAllocs()
			turns("ann", b.Loop)
			saves := e.Stats().Saves
			b.ReportMetric(float64(saves)/b.Elapsed().Seconds(), "saves/s")
			cancel()
			for range 3 {
				<-others
			}
		})
	}
}
