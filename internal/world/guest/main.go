// Command guest is the world inside: it reads an episode from its input, plays it on a server, its
// disk, its network and its clients, and writes what happens. It ends with 0 if all went as it
// must. Package world compiles it so that one start serves many episodes, and gives it time and
// randomness. See there.
package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"loadstone/internal/files/filestest"
	"loadstone/internal/world/script"
)

// episode plays the episode that it reads.
func episode(in io.Reader) {
	s, err := script.Parse(in)
	if err != nil {
		fmt.Println("the script:", err)
		os.Exit(2)
	}
	w := newWorld(s)
	stuck := time.AfterFunc(patience, func() {
		w.fail("stuck", "the episode has not ended after %v", patience)
	})
	defer stuck.Stop()
	w.start()
	w.play(s.Actions)
	w.end()
	fmt.Printf("done: %v, %d requests, %d answers, %d steps, %d faults, %d restarts, %d disk calls\n",
		time.Since(w.began), w.requests, w.answers, w.steps, w.faults, w.starts-1, w.calls)
}

// A world is a server and everything around it. Its fields that count need no lock: the guest is
// one thread, and no goroutine is interrupted where it does not wait.
type world struct {
	*settings
	dice    *dice
	began   time.Time
	network *network
	sim     *filestest.Sim
	oracle  *oracle
	running *instance  // nil: no server runs
	ending  bool       // it is being stopped
	turning sync.Mutex // held from a server's end to the next one's start; taken before change
	change  sync.Mutex // held while a server starts or ends
	ghosts  sync.WaitGroup
	base    int // goroutines of the world itself

	line []byte // of the log

	principals map[string]*principal
	clients    map[string]*client // those of the script

	stepFault  *stepFault
	diskFaults []*diskFault
	allocFault bool

	// Events so far. A request that sees none of a kind from its beginning to its end has no
	// excuse.
	starts, stops, crashes, keyChanges, stepFaults, diskErrors int

	diskErrorAt time.Time // of the last one
	rots        int

	removeErrors int // of files that could not be removed

	asked   []time.Time            // when clients have asked for answers
	askedBy map[string][]time.Time // the same by agent

	logged  map[string]bool // ids of requests of which the server's log of errors has something
	asking  int             // requests whose client is there
	orphans int             // steps in a row with no such request

	requests, answers, steps, faults, calls int
}

// A stepFault is what a step of the model does, after some others.
type stepFault struct {
	do    string
	after int
}

func newWorld(s script.Script) *world {
	w := &world{
		settings:   newSettings(s.World),
		dice:       &dice{rng: rand.New(rand.NewPCG(s.Seed, 0xd1ce))},
		began:      time.Now(),
		sim:        filestest.NewSim(),
		oracle:     newOracle(),
		principals: map[string]*principal{},
		clients:    map[string]*client{},
		logged:     map[string]bool{},
		askedBy:    map[string][]time.Time{},
		base:       runtime.NumGoroutine(),
	}
	w.network = &network{dice: w.dice, lag: w.lag}
	for _, name := range w.names {
		w.principals[name] = newPrincipal(name)
	}
	return w
}

// patience is longer than any episode takes whose server gets on.
const patience = 6 * time.Hour

// play has all clients do what they have to do, and waits for them.
func (w *world) play(actions []script.Action) {
	var order []string
	of := map[string][]script.Action{}
	for _, a := range actions {
		if of[a.Who] == nil {
			order = append(order, a.Who)
		}
		of[a.Who] = append(of[a.Who], a)
	}
	var all sync.WaitGroup
	for _, who := range order {
		c := w.client(who)
		w.clients[who] = c
		all.Go(func() {
			if c != nil {
				defer c.hangUp()
			}
			for _, a := range of[who] {
				time.Sleep(time.Until(w.began.Add(a.At)))
				w.log(who, "%s %v", a.Verb, a.Args)
				if who == script.Operator {
					w.operate(a)
				} else {
					c.act(a)
				}
			}
		})
	}
	all.Wait()
}

// log writes a line of the event log: the time in seconds, who, and what. An episode has hundreds,
// so it formats no more than it must.
func (w *world) log(who, format string, args ...any) {
	b := append(appendSeconds(w.line[:0], time.Since(w.began)), ' ')
	b = append(b, who...)
	for range 9 - len(who) {
		b = append(b, ' ')
	}
	b = fmt.Appendf(append(b, ' '), format, args...)
	w.line = append(b, '\n')
	writeLog(w.line)
}

// appendSeconds appends a time, to the microsecond, in twelve columns.
func appendSeconds(b []byte, d time.Duration) []byte {
	left, point := d.Microseconds(), 5
	var text [12]byte
	for i := len(text) - 1; i >= 0; i-- {
		switch {
		case i == point:
			text[i] = '.'
		case left == 0 && i < point-1:
			text[i] = ' '
		default:
			text[i] = byte('0' + left%10)
			left /= 10
		}
	}
	return append(b, text[:]...)
}

// fail says which invariant does not hold, and ends the world.
func (w *world) fail(invariant, format string, args ...any) {
	w.log("world", "VIOLATION %s: %s", invariant, fmt.Sprintf(format, args...))
	if invariant == "stuck" || invariant == "goroutines" {
		stacks := make([]byte, 1<<20)
		fmt.Printf("%s\n", stacks[:runtime.Stack(stacks, true)])
	}
	os.Exit(1)
}

// A dice is the randomness of the world around the server.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (d *dice) IntN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

func (d *dice) Int64N(n int64) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.Int64N(n)
}

// one reports true once in n times.
func (d *dice) one(n int) bool { return d.IntN(n) == 0 }
