package engine

import (
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"loadstone/engine/checkpoint"
	"loadstone/engine/internal/kv"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
)

// The benchmarks called Growth say how cost grows with size; benchdata/growth has their results and
// plots. A name has what is done, as what=turn, and how large everything is, as agents=1000; all
// else stays as it is. The scheduler runs here without a model, whose time would hide ours.

// A growing is a scheduler whose model costs nothing, and the requests that it is given.
type growing struct {
	*sched
	id   uint64
	next []int32
	rows int // streams that may be in a step; 0: all
	ends int // requests that have ended
}

func newGrowing(blocks, maxBatch, stepTokens int) *growing {
	shape := kv.Shape{BlockTokens: 32, GlobalBytes: 1}
	return &growing{sched: newSched(kv.Layout{Shape: shape, Blocks: blocks}, maxBatch, stepTokens)}
}

// ask queues a request of an agent: 64 tokens of a system prompt that all share, and others.
func (g *growing) ask(principal, agent string, seed int32, tokens, answer int) {
	prompt := make([]int32, tokens, tokens+min(answer, 64))
	for i := range prompt {
		if prompt[i] = int32(i); i >= 64 {
			prompt[i] += seed * 4096
		}
	}
	g.id++
	who := kv.Identity{Agent: kv.Agent{Principal: principal, Name: agent}}
	g.Add(&sequence{id: g.id, who: who, prompt: tokens, max: answer, tokens: prompt})
}

// step makes a step, and returns what has ended. It reports false where nothing runs.
func (g *growing) step(ended func(*sequence)) bool {
	g.demand()
	plan := g.Plan(g.stepTokens, cmp.Or(g.rows, g.maxBatch), drafting{})
	if plan == nil {
		return false
	}
	for len(g.next) < len(plan.rows) {
		g.next = append(g.next, int32(len(g.next)))
	}
	for _, ev := range g.Commit(g.next[:len(plan.rows)]) {
		if ev.finish != "" {
			g.ends++
			if ended != nil {
				ended(ev.seq)
			}
		}
	}
	return true
}

// turn has an agent ask, and answers it.
func (g *growing) turn(principal, agent string, seed int32, tokens int) {
	g.ask(principal, agent, seed, tokens, 2)
	for ends := g.ends; g.ends == ends; {
		g.step(nil)
	}
}

// stepOn measures a step once 64 requests have ended, each of which ask has followed by another.
func (g *growing) stepOn(b *testing.B, ask func(*sequence)) {
	for g.ends < 64 {
		g.step(ask)
	}
	for b.Loop() {
		g.step(ask)
	}
}

// heap returns the bytes of the heap that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkGrowthAgents measures a turn of one agent among agents that all have a memory of 128
// tokens in the pool: admission, two steps, and what it leaves.
//
//	what=turn    the agents ask again, one after the other; B/agent is what the engine has of one
//	             beside its KV
//	what=evict   the pool is full, so that each turn, of an agent that is new, evicts another's
//	             memory
func BenchmarkGrowthAgents(b *testing.B) {
	for _, what := range []string{"turn", "evict"} {
		for _, agents := range []int{10, 100, 1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("what=%s/agents=%d", what, agents), func(b *testing.B) {
				const tokens = 128
				before := heap()
				blocks := 2 + 3*agents
				if what == "turn" {
					blocks += 8
				}
				g := newGrowing(blocks, 32, 256)
				names := make([]string, agents)
				for i := range names {
					names[i] = fmt.Sprintf("agent-%d", i)
					g.turn("", names[i], int32(i), tokens)
				}
				perAgent := float64(heap()-before) / float64(agents)
				i := 0
				for b.Loop() {
					if what == "turn" {
						g.turn("", names[i%agents], int32(i%agents), tokens)
					} else {
						g.turn("", fmt.Sprintf("new-%d", i), int32(agents+i), tokens)
					}
					i++
				}
				if what == "turn" {
					b.ReportMetric(perAgent, "B/agent")
				} else if g.store.Stats().Evictions == 0 {
					b.Fatal("nothing was evicted")
				}
			})
		}
	}
}

// BenchmarkGrowthBlocks measures a new pool of so many blocks, B/block being what the engine has of
// one beside its KV, and a turn in it once all are in use.
func BenchmarkGrowthBlocks(b *testing.B) {
	sizes := []int{1000, 10_000, 100_000, 1_000_000}
	for _, blocks := range sizes {
		b.Run(fmt.Sprintf("what=start/blocks=%d", blocks), func(b *testing.B) {
			before := heap()
			g := newGrowing(blocks, 32, 256)
			perBlock := float64(heap()-before) / float64(blocks)
			runtime.KeepAlive(g)
			for b.Loop() {
				newGrowing(blocks, 32, 256)
			}
			b.ReportMetric(perBlock, "B/block")
		})
	}
	for _, blocks := range sizes {
		b.Run(fmt.Sprintf("what=turn/blocks=%d", blocks), func(b *testing.B) {
			g := newGrowing(blocks, 32, 4096)
			const tokens = 128 // two blocks, and two of the system prompt
			seed := int32(0)
			for ; g.store.Stats().Evictions == 0; seed++ {
				g.turn("", fmt.Sprint(seed), seed, tokens)
			}
			for b.Loop() {
				g.turn("", fmt.Sprint(seed), seed, tokens)
				seed++
			}
		})
	}
}

// BenchmarkGrowthStreams measures a step of so many streams.
//
//	what=step      all decode
//	what=shared    they are of one principal for each ten, and half of them decode, in turns
//	what=waiting   32 decode, so many others wait, and one of those starts in each step
//	what=cancel    so many wait and all are cancelled
func BenchmarkGrowthStreams(b *testing.B) {
	sizes := []int{1, 10, 100, 1000, 2000}
	for _, what := range []string{"step", "shared"} {
		for _, streams := range sizes {
			b.Run(fmt.Sprintf("what=%s/streams=%d", what, streams), func(b *testing.B) {
				g := newGrowing(streams*130+100, streams, max(256, streams))
				n := 0
				ask := func(*sequence) {
					principal := ""
					if what == "shared" {
						principal = fmt.Sprint(n % max(1, streams/10))
					}
					g.ask(principal, fmt.Sprint(n%streams), int32(n), 66, 4000)
					n++
				}
				for range streams {
					ask(nil)
				}
				for g.demand().decoding < streams {
					g.step(ask)
				}
				if what == "shared" {
					g.rows = max(1, streams/2)
				}
				for b.Loop() {
					g.step(ask)
				}
			})
		}
	}
	for _, streams := range sizes {
		b.Run(fmt.Sprintf("what=waiting/streams=%d", streams), func(b *testing.B) {
			g := newGrowing(1<<17, 32, 256)
			n := 0
			ask := func(*sequence) { g.ask("", fmt.Sprint(n), int32(n), 66, 32); n++ }
			for range 32 + streams {
				ask(nil)
			}
			g.stepOn(b, ask)
		})
	}
	for _, streams := range sizes {
		b.Run(fmt.Sprintf("what=cancel/streams=%d", streams), func(b *testing.B) {
			g := newGrowing(1<<17, 32, 256)
			for b.Loop() {
				b.StopTimer()
				first := g.id + 1
				for i := range streams {
					g.ask("", fmt.Sprint(i), int32(i), 66, 32)
				}
				b.StartTimer()
				for id := first; id < first+uint64(streams); id++ {
					if _, ok := g.Cancel(id); !ok {
						b.Fatal("it was not there")
					}
				}
			}
		})
	}
}

// BenchmarkGrowthPrincipals measures what a step of 32 streams costs beside 2000 requests that
// wait, of so many principals, and a turn in a full pool of 1000 agents that belong to so many.
func BenchmarkGrowthPrincipals(b *testing.B) {
	sizes := []int{1, 10, 100, 1000}
	for _, principals := range sizes {
		b.Run(fmt.Sprintf("what=step/principals=%d", principals), func(b *testing.B) {
			g := newGrowing(1<<17, 32, 256)
			g.principals = principals
			n := 0
			ask := func(*sequence) {
				g.ask(fmt.Sprint(n%principals), fmt.Sprint(n), int32(n), 66, 32)
				n++
			}
			for range 2032 {
				ask(nil)
			}
			g.stepOn(b, ask)
		})
	}
	for _, principals := range sizes {
		b.Run(fmt.Sprintf("what=evict/principals=%d", principals), func(b *testing.B) {
			g := newGrowing(3000, 32, 256)
			g.principals = principals
			n := 0
			turn := func() { g.turn(fmt.Sprint(n%principals), fmt.Sprint(n), int32(n), 128); n++ }
			for g.store.Stats().Evictions == 0 {
				turn()
			}
			for b.Loop() {
				turn()
			}
		})
	}
}

// BenchmarkGrowthHistory measures what a conversation costs that has so many tokens in the pool.
//
//	what=turn     a turn of it without a model: its prompt is looked up and its memory kept
//	what=step     a step of it without a model
//	what=decode   a step of the embedded network, whose KV is zeros, with a context of 131072 tokens
//	what=save     a save of its memory: copied from the pool, and written without syncs
func BenchmarkGrowthHistory(b *testing.B) {
	sizes := []int{128, 1024, 8192, 32_768, 131_072 - 64}
	for _, tokens := range sizes {
		b.Run(fmt.Sprintf("what=turn/tokens=%d", tokens), func(b *testing.B) {
			g := newGrowing(tokens/32+100, 32, tokens)
			g.turn("", "one", 1, tokens)
			for b.Loop() {
				g.turn("", "one", 1, tokens)
			}
		})
	}
	for _, tokens := range sizes {
		b.Run(fmt.Sprintf("what=step/tokens=%d", tokens), func(b *testing.B) {
			g := newGrowing(tokens/32+1000, 32, tokens)
			ask := func(*sequence) { g.ask("", "one", 1, tokens, 16_384) }
			ask(nil)
			g.step(ask)
			for b.Loop() {
				g.step(ask)
			}
		})
	}
	for _, tokens := range sizes {
		b.Run(fmt.Sprintf("what=decode/tokens=%d", tokens), func(b *testing.B) {
			decodeAfter(b, tokens)
		})
	}
	for _, tokens := range sizes {
		b.Run(fmt.Sprintf("what=save/tokens=%d", tokens), func(b *testing.B) { saveOf(b, tokens) })
	}
}

// longTiny is the embedded network with a context of 131072 tokens.
func longTiny(b *testing.B) Model {
	long := fstest.MapFS{}
	err := fs.WalkDir(tiny.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(tiny.FS, name)
		if name == "config.json" {
			text = []byte(strings.Replace(string(text), `"max_position_embeddings": 32768`,
				`"max_position_embeddings": 131072`, 1))
		}
		long[name] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	c, err := checkpoint.Open(long)
	if err != nil {
		b.Fatal(err)
	}
	m, err := ref.New(c, "f32")
	if err != nil {
		b.Fatal(err)
	}
	if m.Context() != 131_072 {
		b.Fatalf("the context is %d tokens", m.Context())
	}
	return m
}

// decodeAfter runs steps of one token that follows so many others.
func decodeAfter(b *testing.B, tokens int) {
	m := longTiny(b)
	blocks := tokens/32 + 1
	if err := m.AllocKV(blocks, blocks, 32); err != nil {
		b.Fatal(err)
	}
	table := make([]int32, blocks)
	for i := range table {
		table[i] = int32(i)
	}
	best := make([]int32, 1)
	for b.Loop() {
		err := m.Step([]int32{7}, []int32{1}, []int32{int32(tokens)}, table, table, nil, nil,
			[]int32{0}, best)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// An idleModel computes nothing and has the KV of a network of 1024 bytes a token.
type idleModel struct{ fakeModel }

func (m *idleModel) Context() int                          { return 1 << 20 }
func (m *idleModel) KVBytesPerToken() (global, window int) { return 1024, 0 }
func (m *idleModel) AllocKV(_, _, _ int) error             { return nil }
func (m *idleModel) CopyKV(_, _, _, _, _ int) error        { return nil }
func (m *idleModel) ReadKV(_, _, _ int, dst []byte) error  { clear(dst); return nil }
func (m *idleModel) WriteKV(_, _, _ int, _ []byte) error   { return nil }
func (m *idleModel) Step(_, lens, _, _, _, _ []int32, _ []float32, picks, best []int32) error {
	for i := range picks {
		best[i] = 1
	}
	return nil
}

// saveOf has an agent's memory saved, again and again.
func saveOf(b *testing.B, tokens int) {
	e, err := New(Config{Model: &idleModel{fakeModel{vocab: fakeVocab}}, KVBytes: int64(tokens+4096) << 10,
		Dir: b.TempDir(), SaveAfter: time.Hour, StepTokens: 1 << 17, Files: unsynced, DiskBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	prompt := make([]int32, tokens)
	for i := range prompt {
		prompt[i] = int32(rand.IntN(fakeVocab))
	}
	ask := func() {
		s, err := e.Submit(b.Context(), Request{Agent: "one", Prompt: prompt, MaxTokens: 2})
		if err != nil {
			b.Fatal(err)
		}
		for range s.Tokens() {
		}
	}
	for b.Loop() {
		b.StopTimer()
		prompt[len(prompt)-1]++ // else what it leaves is what was saved
		prompt[len(prompt)-1] %= fakeVocab
		ask()
		b.StartTimer()
		if err := e.save(kv.Agent{Name: "one"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(e.Stats().SavedBytes)/float64(e.Stats().Saves)/float64(tokens), "B/token")
}

// BenchmarkGrowthFiles measures what agents cost whose memories are on disk and not in the pool.
//
//	what=list     all memories are listed
//	what=stall    what a request waits for the engine's goroutine while they are listed without end;
//	              max-ns is the longest wait
//	what=turn     a turn of an agent that is new
//	what=save     a save of that agent's memory, without syncs
func BenchmarkGrowthFiles(b *testing.B) {
	for _, files := range []int{10, 100, 1000, 10_000, 100_000} {
		e := engineWithFiles(b, files)
		n := 0
		turn := func() string {
			n++
			name := fmt.Sprint("new-", n)
			s, err := e.Submit(b.Context(), Request{Agent: name, Prompt: []int32{1, 2, 3}, MaxTokens: 2})
			if err != nil {
				b.Fatal(err)
			}
			for range s.Tokens() {
			}
			return name
		}
		b.Run(fmt.Sprintf("what=list/files=%d", files), func(b *testing.B) {
			for b.Loop() {
				if all, err := e.AllAgents(); err != nil || len(all) < files {
					b.Fatal(len(all), err)
				}
			}
		})
		b.Run(fmt.Sprintf("what=stall/files=%d", files), func(b *testing.B) {
			quit, over := make(chan bool), make(chan bool)
			go func() {
				defer close(over)
				for {
					select {
					case <-quit:
						return
					default:
						e.AllAgents()
					}
				}
			}()
			longest := time.Duration(0)
			for b.Loop() {
				began := time.Now()
				if err := e.call(func() {}); err != nil {
					b.Fatal(err)
				}
				longest = max(longest, time.Since(began))
			}
			b.ReportMetric(float64(longest), "max-ns")
			close(quit)
			<-over
		})
		b.Run(fmt.Sprintf("what=turn/files=%d", files), func(b *testing.B) {
			for b.Loop() {
				turn()
			}
		})
		b.Run(fmt.Sprintf("what=save/files=%d", files), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				name := turn()
				b.StartTimer()
				if err := e.save(kv.Agent{Name: name}); err != nil {
					b.Fatal(err)
				}
			}
		})
		e.Close()
	}
}

// engineWithFiles starts an engine in whose directory so many agents have a memory.
func engineWithFiles(b *testing.B, files int) *Engine {
	e, err := New(Config{Model: &idleModel{fakeModel{vocab: fakeVocab}}, KVBytes: 64 << 20,
		Dir: b.TempDir(), SaveAfter: time.Hour, Files: unsynced, DiskBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	p := e.Principal("")
	for i := range files {
		if _, err := p.Create(fmt.Sprintf("agent-%d", i), false); err != nil {
			b.Fatal(err)
		}
	}
	return e
}

// unsynced leaves out syncs, whose time is the disk's.
var unsynced = filestest.Unsynced(files.OS{})
