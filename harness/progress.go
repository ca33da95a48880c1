package harness

import (
	"slices"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// Progress is where a measurement is.
type Progress struct {
	Scenario    string
	Run         int
	Done, Total int // repetitions, of the whole plan
	// Done and the part of the current repetition that is over, where that is known
	Part     float64
	InFlight int
	Outcomes map[record.Outcome]int // of the whole plan so far; not to be kept
	Recent   stats.Dist             // end-to-end latency of the last requests of this scenario
	Elapsed  time.Duration          // since the measurement began
	Left     time.Duration          // what the rest will take if it goes on like this; 0 unknown
}

// watch keeps what Progress tells.
type watch struct {
	client *client.Client
	crew   Crew           // nil: the client sends the load
	report func(Progress) // nil: nobody wants to know
	start  time.Time
	part   func() float64 // of the current repetition, from 0 to 1; nil unknown

	mu     sync.Mutex // records end on many goroutines
	now    Progress
	recent []time.Duration
	// The first moment at which a part was over, which the pace is counted from: before it there were
	// the warm-up and, in an open loop, the first answer.
	first Progress
}

// recentRequests is how many of the last requests the rolling percentiles look at.
const recentRequests = 200

// paceOver is how long a measurement must have gone on before its pace says what the rest will
// take.
const paceOver = time.Second

// newWatch watches a plan of so many repetitions.
func newWatch(c *client.Client, total int, report func(Progress)) *watch {
	w := &watch{client: c, report: report, start: time.Now()}
	w.now.Outcomes, w.now.Total = map[record.Outcome]int{}, total
	return w
}

func (w *watch) begin(scenario string, run int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.Scenario != scenario {
		w.recent = w.recent[:0]
	}
	w.now.Scenario, w.now.Run = scenario, run
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.Done++
	w.tell()
}

// finish is called at the end of a plan that may have taken fewer repetitions than it could have.
func (w *watch) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.Total = w.now.Done
	w.tell()
}

func (w *watch) record(r record.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.Outcomes[r.Outcome]++
	if r.Outcome == record.OK {
		w.recent = append(w.recent, r.Latency())
		if n := len(w.recent) - recentRequests; n > 0 {
			w.recent = slices.Delete(w.recent, 0, n)
		}
	}
	w.tell()
}

// tick tells also while no request ends, until the function it returns is called.
func (w *watch) tick() (stop func()) {
	return Every(200*time.Millisecond, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tell()
	})
}

// Every calls f again and again, first when the period has passed, until the function it returns is
// called; then no call is under way any more.
func Every(period time.Duration, f func()) (stop func()) {
	done := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				f()
			}
		}
	})
	return func() {
		close(done)
		ticking.Wait()
	}
}

func (w *watch) tell() {
	if w.report == nil {
		return
	}
	p := w.now
	p.InFlight = inFlight(w.client, w.crew)
	p.Recent = stats.Describe(slices.Clone(w.recent))
	p.Elapsed = time.Since(w.start)
	p.Part = float64(p.Done)
	if w.part != nil {
		p.Part += w.part()
	}
	if w.first.Part == 0 {
		w.first.Part, w.first.Elapsed = p.Part, p.Elapsed
	}
	took, over := p.Elapsed-w.first.Elapsed, p.Part-w.first.Part
	if took >= paceOver && over > 0 {
		p.Left = time.Duration(float64(took) / over * (float64(p.Total) - p.Part))
	}
	w.report(p)
}
