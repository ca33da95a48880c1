package audit_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"loadstone/harness/audit"
	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
)

// A sound server gives every agent the answer that it gave it alone, and nobody another's.
func ExampleAudit_Run() {
	server := httptest.NewServer(&clienttest.Liar{})
	defer server.Close()
	a := audit.Audit{Agents: 3, Turns: 2, Words: 20, MaxTokens: 8, Seed: 1}
	findings, err := a.Run(context.Background(), client.New(server.URL))
	for _, f := range findings {
		switch f.Name {
		case audit.Repeatable, audit.Identity, audit.Leaks, audit.Count:
			fmt.Println(f.Name, f.Verdict)
		}
	}
	fmt.Println(err)
	// Output:
	// repeatable pass
	// identity pass
	// leaks pass
	// count pass
	// <nil>
}
