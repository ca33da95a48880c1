package engine_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"loadstone/engine"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
)

// Two turns of one agent. The second turn repeats the first, answer included, so that only its new
// tokens and the answer's last one are computed.
func Example() {
	weights, err := checkpoint.Open(tiny.FS)
	if err != nil {
		log.Fatal(err)
	}
	model, err := ref.New(weights, "f32")
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.New(engine.Config{Model: model, KVBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	prompt := []int32{3, 1, 4, 1, 5, 9, 2, 6}
	for range 2 {
		request := engine.Request{Agent: "ann", Prompt: prompt, MaxTokens: 4}
		stream, err := e.Submit(context.Background(), request)
		if err != nil {
			log.Fatal(err) // a refusal says what to do about it
		}
		var answer []int32
		for token := range stream.Tokens() {
			answer = append(answer, token.ID)
		}
		r := stream.Result()
		fmt.Printf("answer %v (%s); %d of %d prompt tokens cached, tier %s\n",
			answer, r.Finish, r.CachedTokens, r.PromptTokens, r.Tier)
		prompt = slices.Concat(prompt, answer, []int32{5, 3, 5})
	}
	// Output:
	// answer [436 295 988 681] (length); 0 of 8 prompt tokens cached, tier cold
	// answer [889 507 790 913] (length); 11 of 15 prompt tokens cached, tier hot
}
