package proc_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"loadstone/harness/proc"
)

// A server that prints "listening on URL" runs as a process of its own until it is stopped.
func ExampleStart() {
	ctx := context.Background()
	server, err := proc.Start(ctx, os.Stderr, "loadstone", "serve", "-addr", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Stop(10 * time.Second)
	fmt.Println(server.URL, "was ready after", server.StartUp)
}
