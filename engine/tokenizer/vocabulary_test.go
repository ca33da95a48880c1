package tokenizer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// FuzzVocabulary compares the reading of vocabularies and merges with encoding/json's: both get the
// same from every file that both accept, and every file that encoding/json refuses is an error.
// Files with keys in another case, or with the same key twice, are left out, because encoding/json
// accepts and mixes those.
func FuzzVocabulary(f *testing.F) {
	for _, s := range []string{
		`{"model":{"vocab":{"a":0,"b":1,"ab":2,"\u2581é":3},"merges":[["a","b"],["a","\u0062"]]},"added_tokens":[]}`,
		`{ "model" : { "merges" : [ "a b" , "\"b c" ] , "type" : "BPE" , "vocab" : { "a" : 0 , "" : -1 } } }`,
		`{"model":{"vocab":null,"merges":[]}}`, `{"model":{"vocab":{"a":01}}}`, `{"model":{"merges":[["a"]]}}`,
		`{"model":{"vocab":{"a":1}`, `{"model":[]}`, "{\"model\":{\"vocab\":{\"\xff\xfe\":7}}}", `{"model":{"vocab":{"a\qb":1}}}`, `[1,2]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want struct {
			Model struct {
				Vocab  map[string]int32
				Merges json.RawMessage
			}
		}
		wantErr := json.Unmarshal(data, &want)
		var pairs [][2]string
		if m := want.Model.Merges; wantErr == nil && len(m) > 0 {
			wantErr = unmarshalMerges(m, &pairs)
		}
		vocab, merges, rest, err := cutModel(data)
		var v vocabulary
		var got [][2]string
		if err == nil {
			err = json.Unmarshal(rest, new(struct{ Model struct{} }))
		}
		if err == nil {
			v, err = readVocabulary(vocab)
		}
		if err == nil {
			err = mergeList{merges}.each(func(left, right []byte) error {
				got = append(got, [2]string{string(left), string(right)})
				return nil
			})
		}
		lower := strings.ToLower(string(data))
		switch odd := strings.Count(lower, `model`) != 1 || strings.Count(lower, "vocab") > 1 ||
			strings.Count(lower, "merges") > 1 ||
			lower != string(data) || strings.Contains(lower, `\u`); {
		case err == nil && wantErr != nil && !odd:
			t.Fatalf("%q is accepted, but encoding/json says %v", data, wantErr)
		case err != nil || wantErr != nil || odd:
		case !maps.Equal(v.byText, want.Model.Vocab):
			t.Fatalf("%q: vocabulary %v, encoding/json has %v", data, v.byText, want.Model.Vocab)
		case !slices.Equal(got, pairs):
			t.Fatalf("%q: merges %q, encoding/json has %q", data, got, pairs)
		}
	})
}

// unmarshalMerges reads merges with encoding/json: pairs, or lines with a space in them.
func unmarshalMerges(data []byte, pairs *[][2]string) error {
	var lists [][]string
	if json.Unmarshal(data, &lists) == nil {
		for _, l := range lists {
			if len(l) != 2 {
				return json.Unmarshal([]byte(`0`), pairs)
			}
			*pairs = append(*pairs, [2]string{l[0], l[1]})
		}
		return nil
	}
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		var mixed []any
		if json.Unmarshal(data, &mixed) == nil {
			return nil // some of each, which no real file has
		}
		return err
	}
	for _, line := range lines {
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return json.Unmarshal([]byte(`0`), pairs)
		}
		*pairs = append(*pairs, [2]string{left, right})
	}
	return nil
}
