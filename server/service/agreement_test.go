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
			const ofKV = 448
			ids := m.Encode(string(book[20000:36000]), true, 0)[:max(ofKV, *agreementTokens)]
			exact := foretell(t, src, ids)
			for _, kv := range roundingFormats() {
				a := exact.agree(t, src, "float32", network{kv: kv}, ids[:ofKV])
				limits.kv[kv].check(t, "KV in "+kv, a)
			}
			for bits, most := range limits.activations {
				n := network{kv: "f32", activations: bits}
				a := exact.agree(t, src, "", n, ids[:*agreementTokens])
				most.check(t, fmt.Sprintf("activations of %d bits", bits), a)
			}
		})
	}
}

// A foretold token is what the exact network says before it: the log-probability of the token that
// comes, and the five likeliest ones with theirs.
type foretoldToken struct {
	comes float64
	best  []int32
	p     []float64
}

// A foretold text is what the exact network says of the tokens from the first on, in their order.
type foretoldText []foretoldToken

// Tokens from the 64th on are compared, of steps of as many.
const stepTokens, firstCompared = 64, 64

// foretell has the exact network, whose weights are widened to float32, say what comes next.
func foretell(t *testing.T, src catalog.Source, ids []int32) (all foretoldText) {
	eachToken(t, src, "float32", network{kv: "f32"}, ids, func(next int, logits []float32) {
		f := foretoldToken{best: likeliest(logits, 5)}
		sum := logSum(logits)
		f.comes = float64(logits[ids[next]]) - sum
		for _, id := range f.best {
			f.p = append(f.p, float64(logits[id])-sum)
		}
		all = append(all, f)
	})
	return all
}

// agree compares a network with the exact one. isa is LOADSTONE_ISA for it; float32 has its weights
// widened.
func (exact foretoldText) agree(t *testing.T, src catalog.Source, isa string, n network,
	ids []int32) agreement {
	var a agreement
	count := 0.0
	eachToken(t, src, isa, n, ids, func(next int, logits []float32) {
		f, sum := exact[next-firstCompared], logSum(logits)
		a.perplexity += f.comes - (float64(logits[ids[next]]) - sum)
		if f.best[0] == argmax(logits) {
			a.likeliest++
		}
		for i, id := range f.best {
			a.distance += math.Abs(f.p[i]-(float64(logits[id])-sum)) / float64(len(f.best))
		}
		count++
	})
	return agreement{math.Exp(a.perplexity / count), a.likeliest / count, a.distance / count}
}

// eachToken calls took with each token from firstCompared on, and the logits with which a network
// foretells it.
func eachToken(t *testing.T, src catalog.Source, isa string, n network, ids []int32,
	took func(next int, logits []float32)) {
	t.Helper()
	blocks := int32(len(ids)+31) / 32
	t.Setenv("LOADSTONE_ISA", isa)
	n.backend = BackendMLX
	m, err := open(src, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.AllocKV(int(blocks), int(blocks), 32); err != nil {
		t.Fatal(err)
	}
	table, rows := make([]int32, blocks), make([]int32, stepTokens)
	for i := range table {
		table[i] = int32(i)
	}
	for i := range rows {
		rows[i] = int32(i)
	}
	v := m.Vocab()
	logits := make([]float32, stepTokens*v)
	for at := 0; at+stepTokens < len(ids); at += stepTokens {
		entries := table[:(at+stepTokens+31)/32]
		if err := m.Step(ids[at:at+stepTokens], []int32{stepTokens}, []int32{int32(at)}, entries,
			entries, rows, logits, nil, nil); err != nil {
			t.Fatal(err)
		}
		for i := range stepTokens {
			if next := at + i + 1; next >= firstCompared {
				took(next, logits[i*v:][:v])
			}
		}
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
