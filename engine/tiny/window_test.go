package tiny

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"loadstone/engine"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
)

// windowCase is an engine for TestWindow.
type windowCase struct {
	name    string
	tokens  int // size of the pool, in tokens, if all layers kept all of them
	block   int
	restart bool // the engine restarts after every round
}

// start starts the engine, which saves agents' memories in dir.
func (c windowCase) start(t *testing.T, dir string) *engine.Engine {
	t.Helper()
	f, err := checkpoint.Open(FS)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ref.New(f, "f32")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Model: m, KVBytes: int64(c.tokens) * 1536,
		BlockTokens: c.block, StepTokens: 24, Dir: dir, SaveAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestWindow lets conversations of several windows' length go on, be edited, share their beginning,
// and continue after restarts, in pools with window slots for hardly one of them. Every answer must
// be that of a model that keeps all KV.
func TestWindow(t *testing.T) {
	oracle := open(t)
	for _, c := range []windowCase{
		{"room for all", 4096, 32, false},
		{"little room", 400, 8, false},
		{"little room and restarts", 400, 8, true},
		{"blocks larger than the window", 1200, 64, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := ""
			if c.restart {
				dir = t.TempDir()
			}
			e := c.start(t, dir)
			defer func() { e.Close() }()
			chats := newConversations(c)
			hits := 0
			for round := range 6 {
				hits += chats.run(t, e, oracle, round)
				if c.restart {
					if err := e.Close(); err != nil {
						t.Fatal(err)
					}
					e = c.start(t, dir)
				}
			}
			st := e.Stats()
			if t.Logf("%d hits; %+v", hits, st); hits == 0 || st.WindowSlotsUsed != 0 || st.WindowSlots == 0 || c.name == "room for all" && st.WindowSlots >= st.Blocks {
				t.Errorf("%d hits, %+v", hits, st)
			}
		})
	}
}

// conversations are those of some agents and of a client without one, whose name is "".
type conversations struct {
	windowCase
	rng    *rand.Rand
	system []int32 // the beginning that they share
	agents []string
	texts  [][]int32 // by agent: prompts and answers so far
}

func newConversations(c windowCase) *conversations {
	agents := []string{"ann", "bob", "cho", ""}
	return &conversations{
		windowCase: c,
		rng:        rand.New(rand.NewPCG(7, uint64(c.block))),
		system:     random(99, 45),
		agents:     agents,
		texts:      make([][]int32, len(agents)),
	}
}

// extend adds a prompt to conversation i: at its end, or at an earlier place, or in a new
// conversation. It returns the number of tokens at the beginning that must be cached if there is
// room.
func (s *conversations) extend(i, round int) (cached int) {
	text := s.texts[i]
	prompt := random(uint64(round*10+i), 2+s.rng.IntN(50))
	switch {
	case text == nil:
		text = slices.Concat(s.system, prompt)
	case s.rng.IntN(4) == 0:
		text = slices.Concat(text[:1+s.rng.IntN(len(text))], prompt)
	default:
		cached = len(text) - 1
		text = slices.Concat(text, prompt)
	}
	if len(text) > 280 {
		text, cached = slices.Concat(s.system, prompt), 0
	}
	s.texts[i] = text
	return cached
}

// run sends one request of each conversation at the same time and checks the answers. It returns
// the number of requests that found something in the cache.
func (s *conversations) run(t *testing.T, e *engine.Engine, oracle *ref.Model,
	round int) (hits int) {
	t.Helper()
	streams := make([]*engine.Stream, len(s.agents))
	cached := make([]int, len(s.agents))
	for i, agent := range s.agents {
		cached[i] = s.extend(i, round)
		r := engine.Request{Agent: agent, Prompt: s.texts[i], MaxTokens: 10}
		stream, err := e.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		streams[i] = stream
	}
	for i, stream := range streams {
		var got []int32
		for tok := range stream.Tokens() {
			got = append(got, tok.ID)
		}
		r := stream.Result()
		if want := answer(t, oracle, s.texts[i], 0, 10); !slices.Equal(got, want) {
			t.Fatalf("round %d, agent %q, prompt of %d tokens: answer %v, want %v; %+v",
				round, s.agents[i], len(s.texts[i]), got, want, r)
		}
		if s.agents[i] != "" && cached[i] > 0 && s.name == "room for all" &&
			r.CachedTokens < cached[i] {
			t.Errorf("round %d, agent %q: %d tokens cached of a conversation of %d",
				round, s.agents[i], r.CachedTokens, cached[i])
		}
		if r.CachedTokens > 0 {
			hits++
		}
		s.texts[i] = append(s.texts[i], got...)
	}
	return hits
}
