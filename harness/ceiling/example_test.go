package ceiling_test

import (
	"fmt"

	"loadstone/harness/ceiling"
)

// Two turns of one conversation: of the second prompt an endless cache has the first turn and its
// answer, in whole blocks.
func Example() {
	turns := []ceiling.Part{
		{Role: "user", Text: "What is a loadstone?"},
		{Role: "assistant", Text: "A stone that is a magnet by nature."},
		{Role: "user", Text: "And what is it good for?"},
	}
	part := func(i int) ceiling.Part { return turns[i] }
	cache := ceiling.New(4)
	first := cache.Sent(1, part, nil)
	fmt.Println(first.Answered(10, 9, turns[1]), "of 10 tokens")
	second := cache.Sent(3, part, first)
	fmt.Println(second.Answered(30, 9, ceiling.Part{Role: "assistant", Text: "A compass."}),
		"of 30 tokens")
	// Output:
	// 0 of 10 tokens
	// 16 of 30 tokens
}
