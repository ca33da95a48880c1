package gguf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// space is the character that stands for a space in SentencePiece.
const space = "▁"

// sentencePiece makes a tokenizer of the SentencePiece BPE kind (Gemma, Llama 2): spaces become ▁,
// the neighbours with the best score merge, unknown characters become bytes.
func sentencePiece(m Metadata, v *vocabulary) (stages, model object, err error) {
	if v.bos, err = m.Bool("tokenizer.ggml.add_bos_token", true); err != nil {
		return nil, nil, err
	}
	prefix, err := m.Bool("tokenizer.ggml.add_space_prefix", true)
	if err != nil {
		return nil, nil, err
	}
	scores, _ := m["tokenizer.ggml.scores"].([]float32)
	if len(scores) != len(v.tokens) {
		return nil, nil, fmt.Errorf("%d tokens, but %d scores", len(v.tokens), len(scores))
	}
	// llama.cpp's converter wrote the ▁ of hand-defined tokens as a space; the original vocabulary
	// has ▁.
	v.tokens = slices.Clone(v.tokens)
	for id, t := range v.types {
		if t == tokenUserDefined {
			v.tokens[id] = strings.ReplaceAll(v.tokens[id], " ", space)
		}
	}
	normalizer := any(object{{"type", "Replace"}, {"pattern", object{{"String", " "}}},
		{"content", space}})
	decoders := []object{
		{{"type", "Replace"}, {"pattern", object{{"String", space}}}, {"content", " "}},
		{{"type", "ByteFallback"}},
		{{"type", "Fuse"}},
	}
	var pre any = object{{"type", "Split"}, {"pattern", object{{"String", " "}}},
		{"behavior", "MergedWithPrevious"},
		{"invert", false}}
	if prefix {
		normalizer = sequence("normalizers", object{{"type", "Prepend"}, {"prepend", space}},
			normalizer.(object))
		decoders = append(decoders, object{{"type", "Strip"}, {"content", " "},
			{"start", 1}, {"stop", 0}})
		pre = nil
	}
	stages = object{{"normalizer", normalizer}, {"pre_tokenizer", pre},
		{"decoder", sequence("decoders", decoders...)}}
	var unk any
	if v.ids.unk >= 0 {
		unk = v.tokens[v.ids.unk]
	}
	return stages, bpe(v, scoredMerges(v, scores), unk, true, false), nil
}

// scoredMerges derives merges with which BPE by rank gives the same result as SentencePiece's BPE
// by score. SentencePiece joins the two neighbours whose concatenation has the best score. So each
// way to cut a token into two tokens is a merge, and merges are ordered by the score of the
// resulting token. Among merges with the same result, those with longer left halves come first, as
// in transformers' converter.
//
// Hand-defined tokens take no part in merges: SentencePiece and llama.cpp cut them out of the text
// first, and added_tokens has the same effect. Runs of ▁ are the exception. They are spaces in the
// text, where added_tokens do not match, so merges make them. Those merges come before all others
// and have the longer left halves first, which takes the longest run from the left, as
// SentencePiece does.
func scoredMerges(v *vocabulary, scores []float32) [][2]string {
	type merge struct {
		left, right int32 // ids
		result      int32
	}
	ids := make(map[string]int32, len(v.tokens))
	for id, t := range v.types {
		if t == tokenNormal || t == tokenUserDefined && isRun(v.tokens[id]) {
			ids[v.tokens[id]] = int32(id)
		}
	}
	run := func(id int32) bool { return v.types[id] == tokenUserDefined }
	var merges []merge
	for id, s := range v.tokens {
		if own, ok := ids[s]; !ok || own != int32(id) {
			continue
		}
		for i := range s {
			left, ok := ids[s[:i]]
			if !ok {
				continue
			}
			right, ok := ids[s[i:]]
			if !ok || !run(int32(id)) && (run(left) || run(right)) {
				continue
			}
			merges = append(merges, merge{left, right, int32(id)})
		}
	}
	length := func(id int32) int { return utf8.RuneCountInString(v.tokens[id]) }
	slices.SortStableFunc(merges, func(a, b merge) int {
		if ra, rb := run(a.result), run(b.result); ra || rb {
			if ra != rb {
				return cmp.Compare(btoi(rb), btoi(ra))
			}
		} else if c := cmp.Compare(scores[b.result], scores[a.result]); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(length(b.left), length(a.left)),
			cmp.Compare(length(b.right), length(a.right)))
	})
	list := make([][2]string, len(merges))
	for i, m := range merges {
		list[i] = [2]string{v.tokens[m.left], v.tokens[m.right]}
	}
	return list
}

// isRun reports whether a token consists of ▁ alone.
func isRun(s string) bool { return s != "" && strings.Trim(s, space) == "" }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
