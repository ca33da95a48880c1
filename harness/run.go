package harness

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Plan is a measurement: which scenarios, how often, how large.
type Plan struct {
	Scenarios    []Scenario
	Runs         int    // rounds; each gives every scenario one run, so that a slow minute of the machine hits all of them
	Reps         int    // repetitions of a scenario in a run; Runs*Reps in all
	PromptTokens int    // roughly, of an agent's first prompt
	MaxTokens    int    // of an answer
	Seed         uint64 // of all prompts; a server that has answered this seed before may have them in its cache

	// Progress, unless nil, is called from one goroutine at a time: after every request and every fifth of a second.
	Progress func(Progress)
}

// Progress is where a measurement is.
type Progress struct {
	Scenario    string
	Run         int
	Done, Total int     // repetitions, of the whole plan
	Part        float64 // Done and the part of the current repetition that is over, where that is known
	InFlight    int
	Outcomes    map[Outcome]int // of the whole plan so far; not to be kept
	Recent      Dist            // end-to-end latency of the last requests of this scenario
	Elapsed     time.Duration   // since the measurement began
	Left        time.Duration   // what the rest will take if it goes on like this; 0 unknown
}

// A Run is one run of one scenario: a sample of its latencies, and one line in a benchmark file.
type Run struct {
	Scenario string
	Index    int
	Level    Level  // of a load that has several; the zero Level otherwise
	Cache    string // what the agents' caches held when the clock started: "cold", "warm" or "restored"
	Records  []Record
	Rest     *Rest         // of a long load: the requests after the Records, which are written away; nil none
	Warmup   []Record      // requests that filled caches or came before the steady state: in no summary, but in the server's log
	Elapsed  time.Duration // under load; what comes between repetitions does not count
	PeakPool float64       // highest utilisation of the KV pool seen, -1 unknown
	Steady   Steady        // of a load: where its steady state begins
	Samples  []Sample      // what the server said of itself meanwhile; none where it says nothing
	Counters *Counters     // the server's own count beside the client's; nil where it does not count
}

// A Level is how hard a run pushed, where a load is tried at several: one point of a sweep, one probe of a search.
type Level struct {
	Kind  string  `json:"kind"`  // "rate", in arrivals a second, or "concurrency", in agents at a time
	Value float64 `json:"value"` // above 0
}

// String is how a level is written in names: rate=4, concurrency=16; the zero Level is "".
func (l Level) String() string {
	if l.Kind == "" {
		return ""
	}
	return l.Kind + "=" + strconv.FormatFloat(l.Value, 'g', 6, 64)
}

// Summary describes the run by itself.
func (r Run) Summary() Summary {
	s := r.Tally().Summary(r.Scenario, r.Elapsed, r.PeakPool)
	s.Counters = r.Counters
	return s
}

// Pool summarises several runs of one scenario, at least one, as one: their requests together, their times under load added up.
func Pool(runs []Run) Summary {
	var all Tally
	var elapsed time.Duration
	peak := -1.0
	var counters *Counters
	for _, r := range runs {
		counters = counters.Add(r.Counters)
		all.Merge(r.Tally())
		elapsed += r.Elapsed
		peak = max(peak, r.PeakPool)
	}
	s := all.Summary(runs[0].Scenario, elapsed, peak)
	s.Counters = counters
	return s
}

// runner carries out a plan.
type runner struct {
	plan        Plan
	load        *StressTestHarness
	epoch       time.Time // makes the names of agents new to the server
	first       []Record  // the questions that wake the server up
	size        promptSize
	poolBlocks  int // of the server's KV pool; 0 unknown
	blockTokens int
}

// Run carries out the plan against a server and returns its runs in the order in which they were made. When the context
// ends or the server dies it returns what was measured until then, a started run with as many repetitions as ended, and
// the error.
func (c *Client) Run(ctx context.Context, plan Plan) ([]Run, error) {
	r := &runner{plan: plan, load: &StressTestHarness{Client: c}, epoch: time.Now()}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	watch := newWatch(r)
	r.load.Each = watch.record
	defer watch.tick()()
	var runs []Run
	for i := range plan.Runs {
		for _, scenario := range plan.Scenarios {
			run, err := r.run(ctx, scenario, i, watch)
			if len(runs) == 0 {
				run.Warmup = append(run.Warmup, r.first...)
			}
			if len(run.Records) > 0 {
				runs = append(runs, run)
			}
			if err != nil {
				return runs, err
			}
		}
	}
	return runs, nil
}

// prepare warms the server up, finds out how many tokens its template and tokenizer make of a prompt, and the size of its
// pool.
func (r *runner) prepare(ctx context.Context) error {
	var tokens []int
	for _, n := range warmUpWords {
		warm := r.newAgent(fmt.Sprintf("warm-up-%d", n))
		record := r.load.Client.Ask(ctx, r.load.Client.Since(), warm.Ask(n, 4))
		if record.Outcome != OK {
			if err := ctx.Err(); err != nil {
				return err
			}
			return fmt.Errorf("the server does not answer: %s", record.Error)
		}
		record.Warmup = true
		r.first = append(r.first, record)
		tokens = append(tokens, record.PromptTokens)
	}
	r.size = fitPromptSize(warmUpWords, [2]int(tokens))
	metrics, err := r.load.Client.Scrape(ctx)
	if err != nil {
		return err
	}
	blocks, blockTokens := metrics.Value(poolBlocks), metrics.Value(poolBlockTokens)
	if blocks > 0 && blockTokens > 0 {
		r.poolBlocks, r.blockTokens = int(blocks), int(blockTokens)
	}
	return nil
}

// warmUpWords are the sizes of the two questions that warm a server up: two points make a line.
var warmUpWords = [2]int{50, 200}

// promptSize tells how many tokens a server makes of an agent's first prompt of so many words: constant + perWord*words.
// The constant is what the chat template adds, such as a default system prompt, and the canary.
type promptSize struct{ constant, perWord float64 }

// fitPromptSize fits the line through two prompts. A server that does not count tokens, -1, is taken to speak English.
func fitPromptSize(words, tokens [2]int) promptSize {
	slope := float64(tokens[1]-tokens[0]) / float64(words[1]-words[0])
	if tokens[0] < 0 || tokens[1] < 0 || slope <= 0 {
		return promptSize{0, 4.0 / 3}
	}
	return promptSize{max(0, float64(tokens[0])-slope*float64(words[0])), slope}
}

// words is how many words make a first prompt of so many tokens, or as near as one word gets.
func (s promptSize) words(tokens int) int {
	return max(1, int(math.Round((float64(tokens)-s.constant)/s.perWord)))
}

// more is how many words add so many tokens to a prompt.
func (s promptSize) more(tokens int) int { return promptSize{0, s.perWord}.words(tokens) }

// tokens is how long a first prompt of so many words is.
func (s promptSize) tokens(words int) int {
	return int(math.Round(s.constant + s.perWord*float64(words)))
}

// newAgent makes an agent whose conversation depends on the plan's seed and its name in the plan alone, but whose identity
// is new to a server that has seen the same plan before.
func (r *runner) newAgent(name string) *Conversation {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", r.plan.Seed, name)
	return NewConversation(fmt.Sprintf("%s-%x", name, r.epoch.UnixMilli()), h.Sum64())
}

func (r *runner) run(ctx context.Context, scenario Scenario, index int, watch *watch) (Run, error) {
	run := Run{Scenario: scenario.Name, Index: index, Cache: scenario.Cache}
	s := &session{runner: r, scenario: scenario, run: index}
	count := r.load.Client.count(ctx)
	samples := r.load.Client.watchServer(ctx)
	var err error
	for s.rep = range r.plan.Reps {
		watch.begin(scenario.Name, index)
		var records []Record
		records, err = scenario.rep(ctx, s)
		records = slices.DeleteFunc(records, func(r Record) bool { return r.Outcome == "" }) // never sent
		for i := range records {
			records[i].Scenario, records[i].Run, records[i].Rep, records[i].Cache = scenario.Name, index, s.rep, scenario.Cache
		}
		run.Records = append(run.Records, records...)
		run.Elapsed += span(records)
		if err != nil {
			break
		}
		watch.end()
	}
	run.Samples = samples()
	run.Counters = count(slices.Concat(run.Records, s.unmeasured), nil)
	for i := range run.Samples {
		run.Samples[i].Scenario, run.Samples[i].Level, run.Samples[i].Run = scenario.Name, run.Level, index
	}
	run.PeakPool = peakPool(run.Samples)
	for _, r := range s.unmeasured {
		r.Scenario, r.Run, r.Warmup = scenario.Name, index, true
		run.Warmup = append(run.Warmup, r)
	}
	return run, err
}

// span is the time from the first request's being due to the last one's end.
func span(records []Record) time.Duration {
	if len(records) == 0 {
		return 0
	}
	first, last := records[0].Due, records[0].End
	for _, r := range records {
		first, last = min(first, r.Due), max(last, r.End)
	}
	return last - first
}

// watch keeps what Progress tells.
type watch struct {
	r     *runner
	start time.Time
	part  func() float64 // of the current repetition, from 0 to 1; nil unknown

	mu     sync.Mutex // records end on many goroutines
	now    Progress
	recent []time.Duration
}

// recentRequests is how many of the last requests the rolling percentiles look at.
const recentRequests = 200

func newWatch(r *runner) *watch {
	w := &watch{r: r, start: time.Now()}
	w.now.Outcomes = map[Outcome]int{}
	w.now.Total = r.plan.Runs * r.plan.Reps * len(r.plan.Scenarios)
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

func (w *watch) record(r Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.Outcomes[r.Outcome]++
	if r.Outcome == OK {
		w.recent = append(w.recent, r.Latency())
		if n := len(w.recent) - recentRequests; n > 0 {
			w.recent = slices.Delete(w.recent, 0, n)
		}
	}
	w.tell()
}

// tick tells also while no request ends, until the function it returns is called.
func (w *watch) tick() (stop func()) {
	const every = 200 * time.Millisecond
	done := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				w.mu.Lock()
				w.tell()
				w.mu.Unlock()
			}
		}
	})
	return func() {
		close(done)
		ticking.Wait()
	}
}

func (w *watch) tell() {
	if w.r.plan.Progress == nil {
		return
	}
	p := w.now
	p.InFlight = w.r.load.InFlight()
	p.Recent = Describe(slices.Clone(w.recent))
	p.Elapsed = time.Since(w.start)
	p.Part = float64(p.Done)
	if w.part != nil {
		p.Part += w.part()
	}
	if p.Part > 0 {
		p.Left = time.Duration(float64(p.Elapsed) / p.Part * (float64(p.Total) - p.Part))
	}
	w.r.plan.Progress(p)
}
