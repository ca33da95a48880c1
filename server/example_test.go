package server_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"loadstone/engine"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref"
	"loadstone/engine/tiny"
	"loadstone/engine/tokenizer"
	"loadstone/server"
)

// A server on the embedded model answers a chat.
func Example() {
	weights, err := checkpoint.Open(tiny.FS)
	if err != nil {
		log.Fatal(err)
	}
	model, err := ref.New(weights, "f32")
	if err != nil {
		log.Fatal(err)
	}
	text, err := tokenizer.Load(tiny.FS)
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.New(engine.Config{Model: model, KVBytes: 64 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close() // which closes the model

	s := server.New(server.Config{Model: "tiny"}) // it answers at once, and says that it is loading
	s.Ready(e, text)
	hs := httptest.NewServer(s)
	defer hs.Close()

	resp, err := http.Post(hs.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{
		"messages": [{"role": "user", "content": "What is a loadstone?"}],
		"max_tokens": 8,
		"temperature": 0
	}`))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Choices []struct {
			FinishReason string `json:"finish_reason"`
		}
		Usage struct {
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)
	fmt.Println(answer.Choices[0].FinishReason, "after", answer.Usage.CompletionTokens, "tokens")
	// Output:
	// 200 OK
	// length after 8 tokens
}
