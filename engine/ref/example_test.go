package ref_test

import (
	"fmt"
	"log"

	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
	"loadstone/engine/tokenizer"
)

// One step runs the whole prompt and picks the likeliest next token. The step after it would run
// that token alone, from position len(prompt) on, because the KV of the prompt is in the cache.
func ExampleModel_Step() {
	c, err := checkpoint.Open(tiny.FS)
	if err != nil {
		log.Fatal(err)
	}
	m, err := ref.New(c, "f32")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	const blocks, blockTokens = 4, 16
	if err := m.AllocKV(blocks, blocks, blockTokens); err != nil {
		log.Fatal(err)
	}
	text, err := tokenizer.Load(tiny.FS)
	if err != nil {
		log.Fatal(err)
	}
	prompt := text.Encode("A loadstone is", true, 0)

	var (
		n      = int32(len(prompt))
		lens   = []int32{n}     // one sequence of n tokens
		starts = []int32{0}     // which begins at position 0
		table  = []int32{0}     // and lies in block 0 and window slot 0
		picks  = []int32{n - 1} // pick the token that follows the last one
		best   = make([]int32, len(picks))
	)
	if err := m.Step(prompt, lens, starts, table, table, nil, nil, picks, best); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d tokens are followed by token %d, %q\n", n, best[0],
		text.AppendToken(nil, best[0]))
	// Output:
	// 7 tokens are followed by token 751, " done"
}
