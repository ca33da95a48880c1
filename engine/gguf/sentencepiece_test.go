package gguf

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// byScore is a slow version of SentencePiece's BPE. It cuts hand-defined tokens out of the text
// from the left, the longest first. In the rest it merges the neighbours whose concatenation has
// the best score, the leftmost of equals, until no two neighbours make a token.
func byScore(v *vocabulary, scores []float32, text string) (out []string) {
	normal, defined := map[string]float32{}, map[string]bool{}
	for id, s := range v.tokens {
		if v.types[id] == tokenNormal {
			normal[s] = scores[id]
		} else {
			defined[s] = true
		}
	}
	merge := func(s []string) []string {
		for {
			best := -1
			for i := range len(s) - 1 {
				score, ok := normal[s[i]+s[i+1]]
				if ok && (best < 0 || score > normal[s[best]+s[best+1]]) {
					best = i
				}
			}
			if best < 0 {
				return s
			}
			s = slices.Replace(s, best, best+2, s[best]+s[best+1])
		}
	}
	var rest []string
	for text != "" {
		cut := ""
		for s := range defined {
			if strings.HasPrefix(text, s) && len(s) > len(cut) {
				cut = s
			}
		}
		if cut == "" {
			r := string([]rune(text)[:1])
			rest, text = append(rest, r), text[len(r):]
			continue
		}
		out = append(append(out, merge(rest)...), cut)
		rest, text = nil, text[len(cut):]
	}
	return append(out, merge(rest)...)
}

// byRank is the BPE of Hugging Face's tokenizers: the pair with the lowest rank merges, the
// leftmost of equals.
func byRank(merges [][2]string, text string) []string {
	rank := map[[2]string]int{}
	for i, m := range merges {
		rank[m] = i
	}
	s := strings.Split(text, "")
	for {
		best, at := len(merges), -1
		for i := range len(s) - 1 {
			if r, ok := rank[[2]string{s[i], s[i+1]}]; ok && r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			return s
		}
		s = slices.Replace(s, at, at+2, s[at]+s[at+1])
	}
}

// TestScoredMerges compares BPE by the derived merges with BPE by scores, on random vocabularies
// with runs of ▁ like Gemma's.
func TestScoredMerges(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		v := &vocabulary{}
		add := func(s string, typ int32) {
			if !slices.Contains(v.tokens, s) {
				v.tokens, v.types = append(v.tokens, s), append(v.types, typ)
			}
		}
		for n := 2; n <= 6; n++ {
			add(strings.Repeat(space, n), tokenUserDefined)
		}
		for _, c := range []string{space, "a", "b", "c", "d"} {
			add(c, tokenNormal)
		}
		for range 30 {
			word := v.tokens[rng.IntN(len(v.tokens))] + v.tokens[rng.IntN(len(v.tokens))]
			if !strings.Contains(word, space+space) && !strings.Contains(word[1:], space) {
				add(word, tokenNormal)
			}
		}
		scores := make([]float32, len(v.tokens))
		for i, p := range rng.Perm(len(scores)) {
			scores[i] = -float32(p)
		}
		merges := scoredMerges(v, scores)
		for range 30 {
			var b strings.Builder
			for range rng.IntN(30) {
				run := strings.Repeat(space, 1+rng.IntN(9))
				b.WriteString([]string{space, space, run, "a", "b", "c", "d", "abc"}[rng.IntN(8)])
			}
			got, want := byRank(merges, b.String()), byScore(v, scores, b.String())
			if !slices.Equal(got, want) {
				t.Fatalf("%q\n by rank %q\nby score %q\nmerges %q", b.String(), got, want, merges)
			}
		}
	}
}
