package engine

import (
	"context"
	"fmt"
	"slices"
)

// Two turns of one agent. The second repeats the first, answer included, and computes only what
// is new and the answer's last token.
func Example() {
	e, err := New(Config{Model: newFake(), KVBytes: 4096}) // in earnest: ref.New, or metal.Open
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()

	prompt := []int32{3, 1, 4, 1, 5, 9, 2, 6}
	for range 2 {
		stream, err := e.Submit(context.Background(), Request{Agent: "ann", Prompt: prompt, MaxTokens: 4})
		if err != nil {
			fmt.Println(err) // a refusal says what to do about it
			return
		}
		var answer []int32
		for token := range stream.Tokens() {
			answer = append(answer, token.ID)
		}
		r := stream.Result()
		fmt.Printf("%d tokens, %d of them cached; answer of %d, %s\n", r.PromptTokens, r.CachedTokens, r.OutputTokens, r.Finish)
		prompt = slices.Concat(prompt, answer, []int32{5, 3, 5})
	}
	// Output:
	// 8 tokens, 0 of them cached; answer of 4, length
	// 15 tokens, 11 of them cached; answer of 4, length
}
