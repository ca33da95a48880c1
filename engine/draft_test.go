package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// theParrot is a fake whose answers repeat themselves, so that drafts are right now and then.
var theParrot = &network{name: "parrot",
	open: func() (Model, error) {
		m := newFake()
		m.next = parrot
		return m, nil
	},
	foretell: func(r Request) []int32 { return foretellBy(parrot, r) },
}

func TestMetamorphicParrot(t *testing.T) {
	for seed := range uint64(30) {
		check(t, theParrot, generate(seed))
	}
}

// TestFind is what a drafter finds, against a search from the end.
func TestFind(t *testing.T) {
	found, missed := 0, 0
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		vocab := 2 + rng.IntN(12)
		text := make([]int32, 1+rng.IntN(100))
		for i := range text {
			text[i] = int32(rng.IntN(vocab))
		}
		start := rng.IntN(len(text)) + 1
		d := newDrafter(text[:start], len(text))
		for n := start; n <= len(text); n++ {
			got, want := d.find(text[:n], 5), lastFollowed(text[:n], 5)
			if len(got) > 0 && !slices.Equal(got, want) {
				t.Fatalf("%v: found %v, want %v", text[:n], got, want)
			}
			if len(got) > 0 {
				found++
			} else if len(want) > 0 { // the run has lost its place to another one
				missed++
			}
		}
	}
	if found < 10*missed {
		t.Errorf("%d were found and %d missed", found, missed)
	}
}

// lastFollowed is a dumb twin of drafter.find.
func lastFollowed(text []int32, n int) []int32 {
	for at := len(text) - 1; at >= draftKey; at-- {
		if len(text) > draftKey && slices.Equal(text[at-draftKey:at], text[len(text)-draftKey:]) {
			return text[at:min(at+n, len(text))]
		}
	}
	return nil
}

// With drafts an answer takes fewer steps and is the same: greedy and drawn, with penalties, a mask,
// log-probabilities and stops.
func TestDraftsChangeNoAnswer(t *testing.T) {
	answer := func(r Request, drafts bool) (out []Token, res Result, steps int) {
		m := newFake()
		m.next = parrot
		e := start(t, Config{Model: m, KVBytes: 4096, NoDrafts: !drafts, BlockTokens: 16})
		s, err := e.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for tok := range s.Tokens() {
			tok.Start = nil
			out = append(out, tok)
		}
		return out, s.Result(), m.steps
	}
	even := func(answer []int32, logits []float32) {
		for i := range logits {
			if (i+len(answer))%7 == 0 {
				logits[i] = -100
			}
		}
	}
	var drafted, accepted, with, without int
	for seed := range 60 {
		r := Request{Prompt: tokens(seed, 40), MaxTokens: 120}
		switch seed % 6 {
		case 1:
			r.Sampling = Sampling{Temperature: 0.2, Seed: uint64(seed)}
		case 2:
			r.Sampling = Sampling{Temperature: 0.1, TopK: 3, Seed: uint64(seed)}
			r.Logprobs = 3
		case 3:
			r.Mask = even
		case 4:
			r.Sampling = Sampling{Frequency: 0.01, Presence: 0.01}
			r.Logprobs = 1
		case 5:
			r.Stop = []int32{int32(seed % fakeVocab)}
			r.SureTokens = 10
		}
		want, _, steps := answer(r, false)
		got, res, fewer := answer(r, true)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("seed %d: with drafts %v, without %v", seed, got, want)
		}
		drafted, accepted = drafted+res.Drafted, accepted+res.Accepted
		with, without = with+fewer, without+steps
	}
	if accepted < 300 || drafted <= accepted || with > without-accepted {
		t.Errorf("of %d drafted tokens %d were right; %d steps, %d without drafts", drafted, accepted,
			with, without)
	}
}
