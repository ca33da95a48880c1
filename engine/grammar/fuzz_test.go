package grammar

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

// FuzzAnySchema makes a grammar of any bytes, patterns and references and all: they are refused
// with a *SchemaError, or what is written within the grammar is JSON. (FuzzSchema also holds
// answers to their schema, for the schemas that the tests' validator knows.)
func FuzzAnySchema(f *testing.F) {
	for _, s := range []string{
		`{"type":"string","pattern":"^(a|b)*c{2,3}[^d-f]\\w$"}`, `{"pattern":"(((((a{9}){9}){9}){9}){9})"}`,
		`{"$defs":{"a/b":{"$anchor":"x","type":"null"}},"anyOf":[{"$ref":"#x"},{"$ref":"#/$defs/a~1b"}]}`,
		`{"$id":"http://a/","$dynamicRef":"#n","$dynamicAnchor":"n"}`, `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}`,
		`{"type":"object","patternProperties":{"^x-":{"type":"integer"}},"unevaluatedProperties":false}`,
		`{"type":"number","multipleOf":1e-300}`, `{"minLength":1e9}`, `{"enum":[[[[{}]]],"\ud800",1e400]}`,
		`{"not":{"not":{"not":{"pattern":"a"}}}}`, `{"if":{"type":"string"},"then":false,"else":{"const":1}}`,
	} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, source []byte, seed uint64) {
		if len(source) > 1000 {
			t.Skip("longer than it need be")
		}
		Parameters(source)
		Members(source)
		g, err := Schema(source)
		if err != nil {
			if _, ok := errors.AsType[*SchemaError](err); !ok {
				t.Errorf("%s: %v", source, err)
			}
			return
		}
		text, ok := write(t, g, rand.New(rand.NewPCG(seed, 0)))
		if ok && (!json.Valid([]byte(text)) || !utf8.ValidString(text)) {
			t.Errorf("%s: wrote %q", source, text)
		}
	})
}
