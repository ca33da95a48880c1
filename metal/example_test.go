package metal_test

import (
	"errors"
	"fmt"
	"log"

	"loadstone/metal"
)

// One prompt of three tokens is computed, and the likeliest next token picked. The engine does this
// for many sequences at once.
func Example() {
	m, err := metal.Open("SmolLM2-135M-Instruct", metal.Options{KV: "q8"})
	if errors.Is(err, metal.ErrUnavailable) {
		log.Fatal(err) // it says how to build with MLX
	}
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	if err := m.AllocKV(8, 0, 32); err != nil { // 8 blocks of 32 tokens; no layer slides
		log.Fatal(err)
	}
	var (
		tokens = []int32{1, 4093, 198}
		lens   = []int32{3} // one sequence
		starts = []int32{0} // with nothing in the cache
		table  = []int32{0} // whose KV goes into block 0
		picks  = []int32{2} // the row of the last token
		best   = make([]int32, 1)
	)
	if err := m.Step(tokens, lens, starts, table, nil, nil, nil, picks, best); err != nil {
		log.Fatal(err)
	}
	fmt.Println("next token", best[0])
}
