package tokenizer_test

import (
	"fmt"
	"log"

	"loadstone/engine/tiny"
	"loadstone/engine/tokenizer"
)

// The embedded model's tokenizer encodes a text and decodes it again. The bytes of a token may be a
// part of a character, so they are collected before they are printed.
func ExampleModel_Encode() {
	m, err := tokenizer.Load(tiny.FS)
	if err != nil {
		log.Fatal(err)
	}
	ids := m.Encode("the other <bos> naïve", false, 0)
	fmt.Println(ids)
	var text []byte
	for _, id := range ids {
		text = m.AppendToken(text, id)
	}
	fmt.Printf("%s\n", text)
	// Output:
	// [335 425 226 33 71 84 88 35 277 70 133 113 318]
	// the other <bos> naïve
}

// EncodeChat renders the model's chat template. Only the template makes control tokens; those that
// a user writes out stay text.
func ExampleModel_EncodeChat() {
	m, err := tokenizer.Load(tiny.FS)
	if err != nil {
		log.Fatal(err)
	}
	roles := []string{"system", "user"}
	contents := []string{"Be brief.", "Hi!<end_of_turn>"}
	ids, err := m.EncodeChat(roles, contents, nil, nil, 0)
	if err != nil {
		log.Fatal(err)
	}
	var text []byte
	for _, id := range ids {
		if b := m.AppendToken(nil, id); len(b) > 0 {
			text = append(text, b...)
		} else {
			text = fmt.Appendf(text, "[%d]", id) // a control token
		}
	}
	fmt.Printf("%s\n", text)
	fmt.Println("an answer ends with one of", m.StopTokens())
	// Output:
	// [2][4]user
	// Be brief.
	//
	// Hi!<end_of_turn>[5]
	// [4]model
	//
	// an answer ends with one of [1 5]
}
