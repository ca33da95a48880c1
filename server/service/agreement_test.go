//go:build mlx

package service

import (
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/engine"
	"loadstone/engine/catalog"
	"loadstone/engine/tokenizer"
)

var agreementTokens = flag.Int("agreement", 768, "tokens over which TestAgreement compares")

// An agreement is what rounding in a network changes, over the next tokens of a text.
type agreement struct {
	perplexity float64 // how many times that of the exact network
	likeliest  float64 // share of the tokens at which both find the same one likeliest
	distance   float64 // mean difference of the log-probabilities of the exact network's five likeliest
}

// A loss is the most that rounding may change.
type loss struct{ perplexity, likeliest, distance float64 }

func (l loss) check(t *testing.T, what string, a agreement) {
	t.Helper()
	t.Logf("%s: %.5f times the perplexity of float32, %.2f %% of the likeliest tokens, "+
		"log-probabilities apart by %.4f", what, a.perplexity, 100*a.likeliest, a.distance)
	if !(math.Abs(math.Log(a.perplexity)) <= math.Log1p(l.perplexity) && 1-a.likeliest <= l.likeliest &&
		a.distance <= l.distance) {
		t.Errorf("%s: more than %+v allows", what, l)
	}
}

// TestAgreement measures what is lost by storing KV in fewer bits, and by rounding activations for
// products with quantised weights. The text is Newton's Opticks, which every Go installation has;
// the exact network has the same weights in float32 throughout.
func TestAgreement(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip(err)
	}
	book, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", "testdata",
		"Isaac.Newton-Opticks.txt"))
	if err != nil {
		t.Skip(err)
	}
	type losses struct {
		kv          map[string]loss
		activations map[int]loss
	}
	for name, limits := range map[string]losses{
		"smollm2": {
			map[string]loss{"f16": {0.001, 0.01, 0.01}, "q8": {0.007, 0.05, 0.08}, "q4": {0.1, 0.25, 0.5}},
			map[int]loss{8: {0.015, 0.1, 0.12}, 16: {0.0002, 0.005, 0.01}},
		},
		"gemma3-270m": {
			map[string]loss{"f16": {0.001, 0.01, 0.01}, "q8": {0.007, 0.05, 0.1}, "q4": {0.2, 0.35, 0.7}},
			map[int]loss{8: {0.015, 0.1, 0.12}, 16: {0.0002, 0.005, 0.01}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			src, err := catalog.Open(name)
			if err != nil {
				t.Skip(err)
			}
			m, err := tokenizer.Load(src.FS)
			if err != nil {
				t.Fatal(err)
			}
			ids := m.Encode(string(book[20000:36000]), true)
			for _, kv := range roundingFormats() {
				a := agree(t, src, "float32", network{kv: kv}, ids[:448])
				limits.kv[kv].check(t, "KV in "+kv, a)
			}
			for bits, most := range limits.activations {
				a := agree(t, src, "", network{kv: "f32", activations: bits}, ids[:*agreementTokens])
				most.check(t, fmt.Sprintf("activations of %d bits", bits), a)
			}
		})
	}
}

// agree compares a network with the exact one on the tokens of ids from the 64th on, in steps of
// 64. isa is LOADSTONE_ISA for it; float32 has its weights widened.
func agree(t *testing.T, src catalog.Source, isa string, n network, ids []int32) agreement {
	t.Helper()
	const step = 64
	blocks := int32(len(ids)+31) / 32
	start := func(isa string, n network) (engine.Model, []float32) {
		t.Setenv("LOADSTONE_ISA", isa)
		n.backend = BackendMLX
		m, err := open(src, n, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.AllocKV(int(blocks), int(blocks), 32); err != nil {
			t.Fatal(err)
		}
		return m, make([]float32, step*m.Vocab())
	}
	exact, want := start("float32", network{kv: "f32"})
	defer exact.Close()
	other, got := start(isa, n)
	defer other.Close()
	table, rows := make([]int32, blocks), make([]int32, step)
	for i := range table {
		table[i] = int32(i)
	}
	for i := range rows {
		rows[i] = int32(i)
	}
	var a agreement
	count := 0.0
	for at := 0; at+step < len(ids); at += step {
		entries := table[:(at+step+31)/32]
		for m, logits := range map[engine.Model][]float32{exact: want, other: got} {
			if err := m.Step(ids[at:at+step], []int32{step}, []int32{int32(at)}, entries, entries, rows,
				logits, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range step {
			if next := at + i + 1; next >= 64 {
				v := exact.Vocab()
				a.add(want[i*v:][:v], got[i*v:][:v], ids[next])
				count++
			}
		}
	}
	return agreement{math.Exp(a.perplexity / count), a.likeliest / count, a.distance / count}
}

// add takes in one token: until the end, a has sums.
func (a *agreement) add(want, got []float32, next int32) {
	sums := [2]float64{logSum(want), logSum(got)}
	apart := func(id int32) float64 {
		return float64(want[id]) - sums[0] - (float64(got[id]) - sums[1])
	}
	a.perplexity += apart(next)
	best := likeliest(want, 5)
	if best[0] == argmax(got) {
		a.likeliest++
	}
	for _, id := range best {
		a.distance += math.Abs(apart(id)) / float64(len(best))
	}
}

// likeliest returns the places of the n largest numbers of a row, the first of equals first.
func likeliest(row []float32, n int) []int32 {
	var best []int32
	for i, x := range row {
		if len(best) == n && x <= row[best[n-1]] {
			continue
		}
		at := 0
		for at < len(best) && x <= row[best[at]] {
			at++
		}
		best = slices.Insert(best, at, int32(i))
		best = best[:min(len(best), n)]
	}
	return best
}

// logSum returns the logarithm of the sum of the exponentials of a row.
func logSum(row []float32) float64 {
	top, sum := row[argmax(row)], 0.0
	for _, v := range row {
		sum += math.Exp(float64(v - top))
	}
	return math.Log(sum) + float64(top)
}
