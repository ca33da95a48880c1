package workers_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"loadstone/harness/workers"
	"loadstone/internal/broker"
)

// A worker joins a NATS server, and a coordinator finds it there. Claim then gives it a target, and
// the coordinator is the Crew of a harness.Plan.
func ExampleCall() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nats, err := broker.Serve("127.0.0.1:0", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nats.Close()
	joined, err := broker.Connect(nats.URL, broker.Access{}, "worker")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer joined.Close()
	worker := workers.Worker{Log: io.Discard}
	go worker.Run(ctx, joined)
	leads, err := broker.Connect(nats.URL, broker.Access{}, "coordinator")
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := workers.Call(ctx, leads, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("workers:", c.Size())
	// Output: workers: 1
}
