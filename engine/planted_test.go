package engine

import (
	"strings"
	"testing"
)

// Bugs of the kinds that engines like this one have had, each in a wrapper around a sound model.
type (
	lostCopy  struct{ Model } // a continued block is not copied
	shortCopy struct{ Model } // or without its last token
	halfWrite struct{ Model } // a restored block lacks its last token
	// Of three in a batch, the last sees the first block of the first one.
	crossTalk struct{ Model }
	// A chunk of more than eight tokens is computed, but for its last, which is the row that
	// counts.
	lastCut struct{ Model }
)

func (m lostCopy) CopyKV(dst, src, dstWindow, srcWindow, tokens int) error { return nil }

func (m shortCopy) CopyKV(dst, src, dstWindow, srcWindow, tokens int) error {
	if tokens == 1 {
		return nil
	}
	return m.Model.CopyKV(dst, src, dstWindow, srcWindow, tokens-1)
}

func (m halfWrite) WriteKV(block, window, tokens int, src []byte) error {
	if tokens == 1 {
		return nil
	}
	return m.Model.WriteKV(block, window, tokens-1, src[:len(src)/tokens*(tokens-1)])
}

func (m crossTalk) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	if n := len(lens); n >= 3 && starts[n-1] > 4 {
		first := len(tables) - int(starts[n-1]+lens[n-1]+3)/4 // in blocks of 4
		if at := first; at > 0 && at < len(tables) {
			tables[at] = tables[0]
		}
	}
	return m.Model.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
}

func (m lastCut) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	if n := len(tokens); len(lens) == 1 && n > 8 && len(rows)+len(picks) == 1 {
		tokens[n-1] = tokens[n-2]
	}
	return m.Model.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
}

// The metamorphic test finds each of them, and prints a short list that can be kept and fails
// again.
func TestPlantedBugs(t *testing.T) {
	on := []*network{theFake}
	// With them, and the race detector, the arithmetic takes minutes and is not what they check.
	if !invariants {
		on = append(on, onRef(t, "f32"))
	}
	for _, bug := range []struct {
		name  string
		plant func(Model) Model
	}{
		{"lost copy", func(m Model) Model { return lostCopy{m} }},
		{"short copy", func(m Model) Model { return shortCopy{m} }},
		{"half write", func(m Model) Model { return halfWrite{m} }},
		{"cross talk", func(m Model) Model { return crossTalk{m} }},
		{"last cut", func(m Model) Model { return lastCut{m} }},
	} {
		for _, sound := range on {
			t.Run(bug.name+"/"+sound.name, func(t *testing.T) {
				sick := *sound
				sick.open = func() (Model, error) {
					m, err := sound.open()
					return bug.plant(m), err
				}
				var f *failure
				seed := uint64(0)
				for ; f == nil && seed < 10; seed++ {
					f = run(&sick, generate(seed)[:20])
				}
				if f == nil {
					t.Fatal("ten lists did not find it")
				}
				t.Logf("list %d finds it in %s, and shrinks from 20 operations to %d:\n%s%v",
					seed-1, setups[f.setup].name, len(f.ops), printOps(f.ops), f.err)
				if len(f.ops) > 6 {
					t.Errorf("%d operations are left; six are enough for any of these", len(f.ops))
				}
				text := f.String()
				again, err := parseOps(text[strings.Index(text, ".txt:\n")+len(".txt:\n"):])
				if err != nil {
					t.Fatal(err)
				}
				if try(&sick, again, f.setup) == nil {
					t.Error("the printed list does not fail")
				}
				if err := try(sound, again, f.setup); err != nil {
					t.Errorf("and fails without the bug: %v", err)
				}
			})
		}
	}
}
