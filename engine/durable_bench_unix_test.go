//go:build unix

package engine

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// An instantModel computes nothing; its KV takes 4 KiB a token.
type instantModel struct{ fatFake }

func (m instantModel) Step(tokens, lens, starts, tables, windowSlots, rows []int32,
	logits []float32, picks, best []int32) error {
	clear(best)
	clear(logits)
	return nil
}

func (m instantModel) ReadKV(block, window, tokens int, dst []byte) error {
	clear(dst)
	return nil
}

// BenchmarkBusyAgents measures what a turn of agents that never rest costs besides the model, with
// and without a bound on the age of turns that are not on disk. A turn has eight steps; a memory
// grows to 1 MiB and begins anew. cpu-ns/turn is the time of all cores, with what copies and writes
// take: it varies less than ns/op on a machine that is busy.
func BenchmarkBusyAgents(b *testing.B) {
	const second = time.Second
	for _, within := range []time.Duration{-1, 0, 10 * second, second, second / 10} {
		name := fmt.Sprint("save-within=", within)
		cfg := Config{Model: instantModel{fatFake{newFake()}}, KVBytes: 64 << 20,
			Fingerprint: "fake"}
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
			before, began := e.Stats().Finished, cpuTime(b)
			turns("ann", b.Loop)
			st := e.Stats()
			b.ReportMetric(float64(st.Saves)/b.Elapsed().Seconds(), "saves/s")
			b.ReportMetric(float64(cpuTime(b)-began)/float64(st.Finished-before), "cpu-ns/turn")
			cancel()
			for range 3 {
				<-others
			}
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
