package grammar_test

import (
	"fmt"
	"log"
	"math"

	"loadstone/engine/grammar"
)

// The vocabulary of the example has one token for each byte, and token 256 ends an answer. At each
// step the mask leaves the tokens that keep the answer within the schema. A server draws one of
// them; the example takes the last.
func ExampleMask_Rule() {
	g, err := grammar.Schema([]byte(`{
		"type": "object",
		"properties": {"size": {"enum": ["s", "m", "xl"]}},
		"required": ["size"],
		"additionalProperties": false
	}`))
	if err != nil {
		log.Fatal(err)
	}
	const stop = 256
	appendToken := func(dst []byte, id int32) []byte {
		if id == stop {
			return dst
		}
		return append(dst, byte(id))
	}
	mask := g.Mask(grammar.NewVocabulary(stop+1, appendToken, []int32{stop})).Rule

	answer := []int32{'{', '"', 's', 'i', 'z', 'e', '"', ':', '"'}
	next := int32(0)
	for next != stop {
		logits := make([]float32, stop+1)
		mask(answer, logits)
		var allowed []string
		for id, l := range logits {
			if math.IsInf(float64(l), -1) {
				continue
			}
			next = int32(id)
			allowed = append(allowed, string(appendToken(nil, next)))
		}
		fmt.Printf("%q\n", allowed)
		answer = append(answer, next)
	}
	var text []byte
	for _, id := range answer {
		text = appendToken(text, id)
	}
	fmt.Printf("%s\n", text)
	// Output:
	// ["m" "s" "x"]
	// ["l"]
	// ["\""]
	// ["\n" " " "}"]
	// [""]
	// {"size":"xl"}
}

// A schema that cannot be guaranteed is refused with the keyword's place and name.
func ExampleSchema() {
	_, err := grammar.Schema([]byte(`{
		"type": "object",
		"properties": {"zip": {"type": "string", "pattern": "^(..)\\1$"}}
	}`))
	fmt.Println(err)
	// Output: #/properties/zip: the keyword "pattern" cannot be held: "^(..)\\1$" has \1, which is not supported
}
