package snapshot

import (
	"context"
	"fmt"
	"testing"
	"time"

	"loadstone/internal/files"
	"loadstone/internal/objects"
	"loadstone/internal/objects/objectstest"
)

// A distant bucket answers after a while, as one on another machine does.
type distant struct {
	*objectstest.Memory
	away time.Duration
}

func (d distant) Get(ctx context.Context, name string) ([]byte, string, error) {
	time.Sleep(d.away)
	return d.Memory.Get(ctx, name)
}

func (d distant) Put(ctx context.Context, name string, data []byte, was string) (string, error) {
	time.Sleep(d.away)
	return d.Memory.Put(ctx, name, data, was)
}

// BenchmarkTurn measures what a turn takes of a store that others share: until the agent is held,
// which its request waits for, and until what it has left is saved and given back, which nothing
// waits for. The agent has 4000 tokens of 2 KiB, and 64 more at each turn, up to 6000; then it
// begins again.
func BenchmarkTurn(b *testing.B) {
	b.Run("folder", func(b *testing.B) { benchmarkTurns(b, files.OS{}, b.TempDir(), nil) })
	for _, away := range []time.Duration{0, 2 * time.Millisecond, 20 * time.Millisecond} {
		b.Run(fmt.Sprint("bucket ", away, " away"), func(b *testing.B) {
			m := objectstest.NewMemory()
			sys := objects.New(distant{m, away}, objects.Options{Fence: Fence, Term: time.Hour, Cache: 64 << 20})
			benchmarkTurns(b, sys, objects.Root, m)
		})
	}
}

func benchmarkTurns(b *testing.B, sys files.System, dir string, m *objectstest.Memory) {
	s, err := OpenShared(sys, dir, large, 1<<30, 0, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const from, to, more = 4000, 6000, 64
	whole := talk(large, to, 0, 0)
	agent := named("ann")
	var held, saved, given time.Duration
	before := objectstest.Traffic{}
	tokens := to
	turn := func() {
		if tokens += more; tokens > to {
			tokens = from
		}
		h := large
		h.Agent, h.Tokens = agent, tokens
		snap := newSnapshot(h, whole.tokens[:tokens])
		for i := range h.Chunks() {
			snap.Set(i, whole.chunks[i][:h.ChunkBytes(i)])
		}
		began := time.Now()
		if err := s.Hold(b.Context(), agent, func() {}); err != nil {
			b.Fatal(err)
		}
		held += time.Since(began)
		began = time.Now()
		snap.grant = s.grant(agent)
		if err := s.save(snap); err != nil {
			b.Fatal(err)
		}
		saved += time.Since(began)
		began = time.Now()
		s.share.mu.Lock()
		hold := s.share.holds[agent]
		hold.n--
		s.share.mu.Unlock()
		s.yield(agent, hold)
		given += time.Since(began)
	}
	turn()
	held, saved, given = 0, 0, 0
	if m != nil {
		before = m.Traffic()
	}
	for b.Loop() {
		turn()
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(per(held), "ms-held")
	b.ReportMetric(per(saved), "ms-saved")
	b.ReportMetric(per(given), "ms-given")
	if m != nil {
		now := m.Traffic()
		b.ReportMetric(float64(now.Gets-before.Gets)/float64(b.N), "gets")
		b.ReportMetric(float64(now.Puts-before.Puts)/float64(b.N), "puts")
		b.ReportMetric(float64(now.Put-before.Put)/float64(b.N)/1024, "KiB-put")
	}
}
