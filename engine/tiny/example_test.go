package tiny_test

import (
	"fmt"

	"loadstone/engine/checkpoint"
	"loadstone/engine/tiny"
	"loadstone/engine/tokenizer"
)

// The embedded folder is read like any other: its network by package checkpoint, its tokenizer by
// package tokenizer.
func Example() {
	weights, err := checkpoint.Open(tiny.FS)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := tokenizer.Load(tiny.FS)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := weights.Config
	fmt.Printf("%s: %d layers, a window of %d tokens, a vocabulary of %d\n",
		c.ModelType, c.Layers, c.SlidingWindow, c.VocabSize)
	fmt.Println(len(text.Encode("a loadstone", false, 0)) > 0)
	// Output:
	// gemma3_text: 6 layers, a window of 32 tokens, a vocabulary of 1024
	// true
}
