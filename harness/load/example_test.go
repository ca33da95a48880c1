package load_test

import (
	"fmt"
	"time"

	"loadstone/harness/load"
)

// A load can be printed before anything is sent: when its agents arrive, and what the first does.
func ExampleLoad() {
	l := load.Load{Rate: load.Constant(2), Requests: 3, Turns: load.Fixed(2),
		Think: load.Fixed(1.5), FanOut: load.Fixed(1)}.Filled()
	for at := range l.Arrivals() {
		fmt.Println("an agent arrives at", at)
	}
	for c := range l.Session(0).Calls {
		fmt.Printf("call %d, turn %d: goes on from %d, waits for %v and %v\n",
			c.ID, c.Turn, c.From, c.After, c.Pause)
	}
	// Output:
	// an agent arrives at 0s
	// an agent arrives at 500ms
	// an agent arrives at 1s
	// call 0, turn 0: goes on from -1, waits for [] and 0s
	// call 1, turn 0: goes on from 0, waits for [] and 0s
	// call 2, turn 1: goes on from 0, waits for [1] and 1.5s
	// call 3, turn 1: goes on from 2, waits for [] and 0s
}

// The shapes of a stress test.
func ExampleLoad_shapes() {
	for _, l := range []load.Load{
		{Name: "at-once", Together: 100},
		{Name: "agents", Burst: load.Burst{Size: 10}, Turns: load.Fixed(50)},
		{Name: "sustained", Rate: load.Constant(4), Duration: time.Minute},
		{Name: "bursty", Burst: load.Burst{Size: 20, Every: time.Second}, Requests: 200},
		{Name: "ramp", Rate: load.Ramp(1, 20, 30*time.Second), Requests: 300},
	} {
		l = l.Filled()
		fmt.Printf("%s: %s, about %d requests\n", l.Name, l.Shape(), l.Expected())
	}
	// Output:
	// at-once: closed, 1 repetitions a run, about 100 requests
	// agents: a burst of 10, about 500 requests
	// sustained: evenly spaced, 4/s, about 240 requests
	// bursty: bursts of 20 every 1s, about 200 requests
	// ramp: evenly spaced, 1/s to 20/s over 30s, about 300 requests
}
