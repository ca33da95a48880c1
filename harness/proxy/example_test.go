package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"net/url"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proxy"
	"loadstone/harness/stub"
)

// An agent talks to a server through the proxy. What it asked is then a session that a load can
// replay.
func Example() {
	server := httptest.NewServer(stub.Server(0))
	defer server.Close()
	to, err := url.Parse(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	recorder, err := proxy.NewRecorder(&file, proxy.Options{Source: "an example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	between := httptest.NewServer(proxy.New(to, recorder))
	agent := client.New(between.URL)
	agent.Ask(context.Background(), agent.Since(), client.Prompt{MaxTokens: 8,
		Messages: []client.Message{{Role: "user", Content: "What is a loadstone?"}}})
	agent.Close()
	between.Close()
	if err := recorder.Close(); err != nil {
		fmt.Println(err)
		return
	}
	sessions, err := load.ReadRecording("example.jsonl", &file)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range sessions {
		for call := range s.Calls {
			fmt.Printf("%s; %d tokens were answered\n", call.Add[0].Raw, call.Recorded.Output)
		}
	}
	// Output:
	// {"role":"user","content":"What is a loadstone?"}; 8 tokens were answered
}
