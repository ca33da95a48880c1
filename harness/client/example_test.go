package client_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"loadstone/harness/client"
	"loadstone/harness/record"
	"loadstone/harness/stub"
)

// A client asks a question, prints the answer as it arrives, and has the record of it afterwards.
func ExampleClient_Ask() {
	server := httptest.NewServer(stub.Server(0)) // any server that speaks OpenAI's API
	defer server.Close()

	c := client.New(server.URL)
	defer c.Close()
	pieces := 0
	r := c.Ask(context.Background(), c.Since(), client.Prompt{
		Place:     record.Place{Agent: "alice"},
		Messages:  []client.Message{{Role: "user", Content: "What is a loadstone?"}},
		MaxTokens: 5,
		OnPiece:   func(string) { pieces++ },
	})

	fmt.Println("outcome:", r.Outcome, r.Finish)
	fmt.Println("tokens:", r.PromptTokens, "in,", r.OutputTokens, "out in", pieces, "pieces")
	fmt.Println("in order:", r.Sent <= r.FirstContent && r.FirstContent <= r.End)
	// Output:
	// outcome: ok length
	// tokens: 1 in, 5 out in 5 pieces
	// in order: true
}

// A server that is not there is told apart from one that is not ready by the type of the error.
func ExampleClient_FindModel() {
	server := httptest.NewServer(stub.Server(0))
	defer server.Close()
	c := client.New(server.URL)
	defer c.Close()

	model, err := c.FindModel(context.Background(), 0, nil)
	fmt.Println(model, err)

	server.Close()
	_, err = c.FindModel(context.Background(), 0, nil)
	_, unreachable := err.(*client.UnreachableError)
	fmt.Println("unreachable:", unreachable)
	// Output:
	// stub <nil>
	// unreachable: true
}
