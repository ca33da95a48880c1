package checkpoint_test

import (
	"fmt"
	"os"

	"loadstone/engine/checkpoint"
)

// A folder with a single tensor is written and opened again. Open reads config.json, with the
// defaults of the architecture, and the headers of the weights; Float32 reads a tensor.
func Example() {
	dir, err := os.MkdirTemp("", "checkpoint-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	config := map[string]any{
		"model_type": "llama", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 2,
		"num_attention_heads": 2, "intermediate_size": 8, "tie_word_embeddings": true,
	}
	norm := checkpoint.Tensor{
		Name: "model.norm.weight", DType: "BF16", Shape: []int{4},
		Data: func() ([]float32, error) { return []float32{1, 0.5, -2, 3}, nil },
	}
	if err := checkpoint.Write(dir, config, []checkpoint.Tensor{norm}); err != nil {
		fmt.Println(err)
		return
	}

	c, err := checkpoint.Open(os.DirFS(dir))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %d layers, %d heads of %d, up to %d tokens\n",
		c.Config.ModelType, c.Config.Layers, c.Config.Heads, c.Config.HeadDim, c.Config.MaxPositions)
	for _, e := range c.Entries() {
		fmt.Println(e.File, e.Name, e.DType, e.Shape)
	}
	fmt.Println(c.Float32("model.norm.weight"))
	// Output:
	// llama: 2 layers, 2 heads of 2, up to 2048 tokens
	// model.safetensors model.norm.weight BF16 [4]
	// [1 0.5 -2 3] [4] <nil>
}
