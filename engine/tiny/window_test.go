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

// TestWindow has conversations of several windows go on, be edited, share their beginning, and be taken up after restarts,
// in pools that keep locals for hardly one of them. Every answer is the one of a model that keeps everything.
func TestWindow(t *testing.T) {
	oracle := open(t)
	for _, c := range []struct {
		name    string
		tokens  int // the pool's size, if all layers kept all
		block   int
		restart bool
	}{
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
			start := func() *engine.Engine {
				f, err := checkpoint.Open(FS)
				if err != nil {
					t.Fatal(err)
				}
				m, err := ref.New(f, "f32")
				if err != nil {
					t.Fatal(err)
				}
				e, err := engine.New(engine.Config{Model: m, KVBytes: int64(c.tokens) * 1536, BlockTokens: c.block, StepTokens: 24, Dir: dir, SaveAfter: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			e := start()
			defer func() { e.Close() }()
			rng := rand.New(rand.NewPCG(7, uint64(c.block)))
			system := random(99, 45)
			agents := []string{"ann", "bob", "cho", ""}
			said := make([][]int32, len(agents))
			hits := 0
			for round := range 6 {
				streams := make([]*engine.Stream, len(agents))
				kept := make([]int, len(agents))
				for i, agent := range agents {
					fresh := random(uint64(round*10+i), 2+rng.IntN(50))
					switch {
					case said[i] == nil:
						said[i] = slices.Concat(system, fresh)
					case rng.IntN(4) == 0:
						said[i] = slices.Concat(said[i][:1+rng.IntN(len(said[i]))], fresh)
					default:
						kept[i] = len(said[i]) - 1
						said[i] = slices.Concat(said[i], fresh)
					}
					if len(said[i]) > 280 {
						said[i], kept[i] = slices.Concat(system, fresh), 0
					}
					s, err := e.Submit(t.Context(), engine.Request{Agent: agent, Prompt: said[i], MaxTokens: 10})
					if err != nil {
						t.Fatal(err)
					}
					streams[i] = s
				}
				for i, s := range streams {
					var got []int32
					for tok := range s.Tokens() {
						got = append(got, tok.ID)
					}
					r := s.Result()
					if want := answer(t, oracle, said[i], 0, 10); !slices.Equal(got, want) {
						t.Fatalf("round %d, agent %q, prompt of %d tokens: answer %v, want %v; %+v", round, agents[i], len(said[i]), got, want, r)
					}
					if agents[i] != "" && kept[i] > 0 && c.name == "room for all" && r.CachedTokens < kept[i] {
						t.Errorf("round %d, agent %q: %d tokens cached of a conversation of %d", round, agents[i], r.CachedTokens, kept[i])
					}
					if r.CachedTokens > 0 {
						hits++
					}
					said[i] = append(said[i], got...)
				}
				if c.restart {
					if err := e.Close(); err != nil {
						t.Fatal(err)
					}
					e = start()
				}
			}
			st := e.Stats()
			if t.Logf("%d hits; %+v", hits, st); hits == 0 || st.WindowSlotsUsed != 0 || st.WindowSlots == 0 || c.name == "room for all" && st.WindowSlots >= st.Blocks {
				t.Errorf("%d hits, %+v", hits, st)
			}
		})
	}
}
