//go:build mlx

package metal

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// largest returns the index of the largest finite logit, the first of equals, or -1 when there is
// none.
func largest(row []float32) int32 {
	best, high := int32(-1), float32(math.Inf(-1))
	for i, l := range row {
		if l > high && l <= math.MaxFloat32 {
			best, high = int32(i), l
		}
	}
	return best
}

// pickHead returns a network whose head has so many outputs that several tasks compute it. The
// first half of its rows is there twice, far apart, so that different tasks find the same largest
// logit.
func pickHead() *folder {
	c := tinyLlama().config
	c["vocab_size"] = 5003
	h := tiny(c)
	x := h.tensors["lm_head.weight"]
	copy(x.data[2500*64*4:], x.data[:2500*64*4])
	return h
}

// damage replaces every every-th element of a float32 tensor by the values in turn.
func damage(x tensor, every int, values ...float64) {
	for i, at := 0, 0; at < len(x.data)/4; i, at = i+1, at+every {
		binary.LittleEndian.PutUint32(x.data[4*at:],
			math.Float32bits(float32(values[i%len(values)])))
	}
}

// A pick is the place of the largest logit of the row that Step would have returned, and the rows
// that it returns beside picks are the same to the last bit as without picks. This holds for all
// kinds of weights of the head, in both programs, for one row and for many, where the largest logit
// is there twice, and where logits are not finite.
func TestPicks(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	heads := map[string]func() *folder{
		"float32": pickHead,
		"tied":    tinyGemma,
		"bfloat16": func() *folder {
			c := pickHead()
			for name, x := range c.tensors {
				c.tensors[name] = toBfloat16(x)
			}
			return c
		},
		"4 bits": func() *folder { packed, _ := quantisedPair(pickHead, 32, 4); return packed },
		"8 bits": func() *folder { packed, _ := quantisedPair(pickHead, 32, 8); return packed },
		"some infinite": func() *folder {
			c := pickHead()
			damage(c.tensors["lm_head.weight"], 64*7, nan, inf, -inf)
			return c
		},
		"bfloat16, some infinite": func() *folder {
			c := pickHead()
			damage(c.tensors["lm_head.weight"], 64*7, nan, inf, -inf)
			c.tensors["lm_head.weight"] = toBfloat16(c.tensors["lm_head.weight"])
			return c
		},
		"none finite": func() *folder {
			c := pickHead()
			damage(c.tensors["model.norm.weight"], 1, nan)
			return c
		},
	}
	for name, make := range heads {
		for program, opt := range map[string]options{
			"kernels": {}, "graph": {graph: true}, "graph, native": {graph: true, native: true},
		} {
			t.Run(name+"/"+program, func(t *testing.T) {
				dir := make().write(t)
				check := func(t *testing.T) {
					m, err := open(dir, opt)
					if err != nil {
						t.Fatal(err)
					}
					defer m.Close()
					checkPicks(t, m)
				}
				if strings.HasSuffix(name, "bits") && program == "kernels" {
					eachInstructionSet(t, func(t *testing.T, _ string) { check(t) })
				} else {
					check(t)
				}
			})
		}
	}
}

func checkPicks(t *testing.T, m *Model) {
	if err := m.AllocKV(8, 8, 16); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	table := []int32{2, 5, 1, 7}
	ids := randomTokens(5, 60, m.Vocab())
	vocab, none := m.Vocab(), 0
	run := func(rows, picks []int32) ([]float32, []int32) {
		t.Helper()
		logits, best := make([]float32, len(rows)*vocab), make([]int32, len(picks))
		for i := range best {
			best[i] = -7
		}
		err := m.Step(ids, []int32{60}, []int32{0}, table, table, rows, logits, picks, best)
		if err != nil {
			t.Fatal(err)
		}
		return logits, best
	}
	for _, n := range []int{1, 2, 5, 16, 17, 40} {
		var both, rows, picks []int32
		for _, i := range rng.Perm(60)[:n] {
			both = append(both, int32(i))
		}
		slices.Sort(both)
		for _, r := range both {
			if rng.IntN(2) == 0 {
				rows = append(rows, r)
			} else {
				picks = append(picks, r)
			}
		}
		want, _ := run(both, nil)
		_, all := run(nil, both)
		got, some := run(rows, picks)
		for i, r := range both {
			row := want[i*vocab:][:vocab]
			best := largest(row)
			if best < 0 {
				none++
			}
			if all[i] != best {
				t.Fatalf("%d picks: token %d's is %d, the largest of its row is %d",
					n, r, all[i], best)
			}
			if len(picks) > 0 && picks[0] == r {
				if some[0] != best {
					t.Fatalf("%d rows and %d picks: token %d's is %d, the largest of its row is %d",
						len(rows), len(picks), r, some[0], best)
				}
				picks, some = picks[1:], some[1:]
				continue
			}
			for j, v := range got[:vocab] {
				if math.Float32bits(v) != math.Float32bits(row[j]) {
					t.Fatalf("token %d's logit %d is %v beside picks and %v without",
						r, j, v, row[j])
				}
			}
			got = got[vocab:]
		}
	}
	t.Logf("%d rows had no finite logit", none)
}
