package grammar

import (
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// textVocabulary has a token for each byte, one for each of the texts, and two that end an answer.
func textVocabulary(texts ...string) (v *Vocabulary, text func(ids []int32) string) {
	for i := range 256 {
		texts = append(texts, string([]byte{byte(i)}))
	}
	stop := int32(len(texts))
	piece := func(dst []byte, id int32) []byte {
		if id >= stop {
			return dst
		}
		return append(dst, texts[id]...)
	}
	v = NewVocabulary(len(texts)+2, piece, []int32{stop, stop + 1})
	return v, func(ids []int32) string {
		var words []string
		for _, id := range ids {
			if id >= stop {
				words = append(words, "END")
			} else {
				words = append(words, texts[id])
			}
		}
		return strings.Join(words, "|")
	}
}

func TestAhead(t *testing.T) {
	const schema = `{"type":"object","properties":{"first_name":{"const":"x"},"first_aid":{"type":"boolean"}},
		"required":["first_name","first_aid"],"additionalProperties":false}`
	v, text := textVocabulary("first", "_name", `name"`, "tru", `":`, "aid", `{"`)
	g, err := Schema([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		answer, likely string
		sure           int
	}{
		{`{"`, "first|_name", 0}, // and a quotation mark, which more may follow
		{`{"fir`, "s|t|_name", 2},
		{`{"first_name":"`, `x|"`, 2},
		{`{"first_name":"x","first_aid":t`, "r|u|e", 3},
		{`{"first_name":"x","first_aid":true}`, "END", 1},
		{`{`, "", 0},
	} {
		m := g.Mask(v)
		ids := bytesOf(v, test.answer)
		tokens, sure := m.Ahead(ids, 15)
		if text(tokens) != test.likely || sure != test.sure {
			t.Errorf("%s: %q, of which %d are certain; want %q, %d", test.answer, text(tokens), sure,
				test.likely, test.sure)
		}
		if tokens, sure := m.Ahead(ids, 1); len(tokens) > 1 || sure > len(tokens) {
			t.Errorf("%s: %d tokens, %d certain, of one", test.answer, len(tokens), sure)
		}
	}
}

// bytesOf returns the tokens of a text, one for each byte.
func bytesOf(v *Vocabulary, text string) (ids []int32) {
	for _, c := range []byte(text) {
		i := slices.IndexFunc(v.texts, func(t []byte) bool { return string(t) == string([]byte{c}) })
		ids = append(ids, v.ids[i])
	}
	return ids
}

// Along random answers to each schema of the benchmark, what is certain is what the mask alone
// leaves, what is likely is allowed, and looking ahead changes no mask.
func TestAheadAgreesWithMask(t *testing.T) {
	v, _ := textVocabulary("true", "false", "null", "path", "mode", `":`, `",`, `{"`, `"}`, "add", "tags", `": "`, "ne", "eep")
	rng := rand.New(rand.NewPCG(1, 2))
	certain, likely := 0, 0
	schemas := benchSchemas()
	for _, name := range slices.Sorted(maps.Keys(schemas)) { // in one order, for the random numbers
		g, err := Schema([]byte(schemas[name]))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			mask, plain := g.Mask(v), g.Mask(v)
			var answer []int32
			for range 60 {
				tokens, sure := mask.Ahead(answer, 15)
				likely += len(tokens) - sure
				text := slices.Clone(answer)
				for i, id := range tokens {
					allowed := allowedIn(g.Mask(v), text)
					switch {
					case !slices.Contains(allowed, id):
						t.Fatalf("%s: after %d tokens, %d of %v is not allowed", name, len(answer), i, tokens)
					case i < sure && len(allowed) > 1 && !slices.Equal(allowed, v.stops):
						t.Fatalf("%s: after %d tokens, %d of %v is one of %d", name, len(answer), i, tokens, len(allowed))
					case i < sure:
						certain++
					}
					text = append(text, id)
				}
				got, want := allowedIn(mask, answer), allowedIn(plain, answer)
				if !slices.Equal(got, want) {
					t.Fatalf("%s: after %d tokens %d are allowed, %d without looking ahead", name, len(answer), len(got), len(want))
				}
				if len(want) == 0 || slices.Contains(v.stops, want[0]) && len(want) == len(v.stops) {
					break
				}
				next := want[rng.IntN(len(want))]
				if slices.Contains(v.stops, next) {
					break
				}
				answer = append(answer, next)
			}
		}
	}
	if certain < 50 || likely < 10 {
		t.Errorf("%d certain tokens and %d likely ones", certain, likely)
	}
}

// allowedIn returns the tokens that a mask leaves after an answer, ascending.
func allowedIn(m *Mask, answer []int32) (ids []int32) {
	logits := make([]float32, m.v.size)
	m.Rule(answer, logits)
	for i, l := range logits {
		if !math.IsInf(float64(l), -1) {
			ids = append(ids, int32(i))
		}
	}
	return ids
}

// Of all tokens with which a text begins, the longest is found.
func TestLongest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var texts []string
		for range 1 + rng.IntN(40) {
			word := make([]byte, 1+rng.IntN(5))
			for i := range word {
				word[i] = 'a' + byte(rng.IntN(3))
			}
			texts = append(texts, string(word))
		}
		v := NewVocabulary(len(texts), func(dst []byte, id int32) []byte { return append(dst, texts[id]...) }, nil)
		text := make([]byte, rng.IntN(8))
		for i := range text {
			text[i] = 'a' + byte(bits.OnesCount32(rng.Uint32())%3)
		}
		want := 0
		for _, word := range texts {
			if strings.HasPrefix(string(text), word) {
				want = max(want, len(word))
			}
		}
		id, got := v.longest(text)
		if got != want || got > 0 && texts[id] != string(text[:got]) {
			t.Fatalf("%q in %q: %d bytes, want %d", text, texts, got, want)
		}
	}
}
