//go:build mlx

package metal

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// realModel returns the folder of a model that `loadstone model pull` made, or skips.
func realModel(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(cache, "loadstone", "models", name)
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		t.Skipf("%s is not on this machine; get it with: go run ./harness/cmd/loadstone model pull %s", name, name)
	}
	return dir
}

// mlxlmFacts is what testdata/mlxlm.py keeps of a row of logits.
type mlxlmFacts struct {
	TopIDs []int32   `json:"top_ids"`
	Top    []float32 `json:"top"`
	Every  []float32 `json:"every"`
}

// The answer of mlx-lm for the same folder: logits after a prompt, 32 greedy tokens, logits after those.
//
// Both sum float32 in different orders, mlx-lm with the reference BLAS, and logits are of the order of 20: 4e-5 was the
// largest difference seen.
func TestMLXLM(t *testing.T) {
	const tolerance = 1e-3
	for _, name := range []string{"smollm2", "gemma3-270m"} {
		for _, graph := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "/kernels", true: "/graph"}[graph], func(t *testing.T) {
				dir := realModel(t, name)
				var want struct {
					Prompt, Greedy []int32
					Stride         int
					Prefill        mlxlmFacts
					Gap            []float32  `json:"greedy_gap"`
					After          mlxlmFacts `json:"after_greedy"`
				}
				data, err := os.ReadFile(filepath.Join("testdata", "mlxlm_"+name+".json"))
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(data, &want); err != nil {
					t.Fatal(err)
				}
				m, err := open(dir, options{graph: graph})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				if err := m.AllocKV(8, 8, 32); err != nil {
					t.Fatal(err)
				}

				worst := float32(0)
				check := func(what string, row []float32, f mlxlmFacts) {
					near := func(id int, want float32) {
						d := float32(math.Abs(float64(row[id] - want)))
						worst = max(worst, d)
						if !(d <= tolerance) {
							t.Errorf("%s: logit of token %d is %v, mlx-lm has %v", what, id, row[id], want)
						}
					}
					for i, id := range f.TopIDs {
						near(int(id), f.Top[i])
					}
					for i, x := range f.Every {
						near(i*want.Stride, x)
					}
				}
				s := &sequence{ids: want.Prompt, table: []int32{3, 4, 5, 0, 7, 6}}
				row := stepLast(t, m, s, len(want.Prompt))
				check("after the prompt", row, want.Prefill)
				for i, id := range want.Greedy {
					got := argmax(row)
					if got != id && want.Gap[i] > tolerance {
						t.Fatalf("greedy token %d is %d, mlx-lm has %d, ahead of its next best by %v", i, got, id, want.Gap[i])
					}
					s.ids = append(s.ids, id)
					row = stepLast(t, m, s, 1)
				}
				check("after 32 tokens", row, want.After)
				t.Logf("largest difference of a logit: %v", worst)
			})
		}
	}
}

// stepLast runs the next n tokens of a sequence and returns the logits of the last.
func stepLast(t testing.TB, m *Model, s *sequence, n int) []float32 {
	t.Helper()
	logits := make([]float32, m.Vocab())
	end := s.done + n
	table := s.table[:(end+m.blockTokens-1)/m.blockTokens]
	err := m.Step(s.ids[s.done:end], []int32{int32(n)}, []int32{int32(s.done)}, table, table, []int32{int32(n - 1)}, logits)
	if err != nil {
		t.Fatal(err)
	}
	s.done = end
	return logits
}

func argmax(row []float32) int32 {
	best := 0
	for i, x := range row {
		if x > row[best] {
			best = i
		}
	}
	return int32(best)
}
