package harness

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

// A Plan is a measurement of one server: which loads, how often, at which levels.
type Plan struct {
	// each round gives every load one run at every level, so that a slow minute of the machine hits
	// all of them
	Loads  []load.Load
	Runs   int              // rounds; 0 is 1
	Levels []load.Level     // of a sweep; empty: the loads as they are
	Search *scenario.Search // in place of Levels, for a plan of one load
	Until  *scenario.Until  // ends the rounds before there were Runs of them; nil: nothing does
	// index of the first round, for one that goes on where an earlier one ended
	First int

	// Reset, unless nil, makes the server forget what it has in memory; Client.URL may be another
	// one after it. It is called before each run, and for restored caches after they were filled.
	// An error ends the measurement: what would be measured after it is not what was asked for.
	Reset func(context.Context) error

	// Maintain, unless nil, is called after every MaintainEvery of a run, while no request is in
	// flight: those that are due meanwhile wait, and the wait is in their latencies. It may restart
	// the server at the address that it had. An error ends the measurement. A server that was
	// restarted has forgotten its counts, so they are not held to the client's.
	Maintain      func(context.Context) error
	MaintainEvery time.Duration

	// Crew, unless nil, are workers that put the loads on the server, each a part of every run. They
	// take the client's place in that alone.
	Crew Crew
	// Share is the part of the load that this plan carries out, beside other processes that carry out
	// the others and are not led by anybody. What a server counts is then not held to it, and none of
	// its questions is asked again, since it does not know when the others have ended.
	Share load.Share
	Start time.Time // of the first run; the zero Time: as soon as it can

	// Again is how many of each run's questions are asked once more after it, alone, to hold the
	// answers to each other; 0 none.
	Again int

	// Tokens, unless nil, counts the tokens of a text as the model's tokenizer does. An answer that
	// claims more tokens than its text has counts as one without a count. Where it is nil, the
	// server's own /tokenize is asked after a run, where there is one.
	Tokens func(text string) (int, error)

	// Keep is how many records of each run stay in memory, 0 as many as make 20000 of all, but 1000
	// at least. Those of later requests are given to Write in batches, unless it is nil, and are
	// counted in the run's Rest.
	Keep  int
	Write func([]record.Record) error

	// Journal, unless nil, is given the records that stay in memory as their requests end, half a
	// second later at most, and those for Write then wait no longer either: what is measured is not
	// lost where the program is. It is told nothing of which records are left out as a warm-up.
	Journal func([]record.Record)
	// JournalSamples, unless nil, is given the samples of the server as they are taken, half a
	// second later at most. Those of a long run are one for each half second.
	JournalSamples func([]record.Sample)

	// Progress, unless nil, is called from one goroutine at a time: after every request and every
	// fifth of a second.
	Progress func(Progress)

	each func(record.Record) // unless nil, is given every record of a load as its request ends
}

// measurement carries out a plan.
type measurement struct {
	*server
	plan    Plan
	maxRuns int // that there can be
	count   int // runs so far, those included that measured nothing
	watch   *watch
	runs    []record.Run
	now     atomic.Pointer[execution] // the run under way

	unmeasured []*UnmeasuredError // of runs
}

// Run carries out the plan against a server and returns its runs in the order in which they were
// made, and the highest level that a search found, the zero Level if none held. When the context
// ends, the server dies or cannot be reset, it returns what was measured until then, a run that had
// begun among it, and the error.
func (plan Plan) Run(ctx context.Context, c *client.Client) ([]record.Run, load.Level, error) {
	plan, err := plan.filled()
	if err != nil {
		return nil, load.Level{}, err
	}
	if c.Sockets() {
		if err := plan.files(); err != nil {
			return nil, load.Level{}, err
		}
	}
	s, err := meet(ctx, c)
	if err != nil {
		return nil, load.Level{}, err
	}
	if !plan.Share.Whole() { // what the other parts send may be in a cache as well
		s.ceiling = &endless{}
	}
	return plan.on(ctx, s)
}

// on is Run for a server that is known already.
func (plan Plan) on(ctx context.Context, s *server) ([]record.Run, load.Level, error) {
	m := &measurement{server: s, plan: plan}
	perLoad := plan.Runs * len(plan.Levels)
	if plan.Search != nil {
		perLoad = plan.Runs * probes(plan.Search)
	}
	m.maxRuns = perLoad * len(plan.Loads)
	repetitions := 0
	for _, l := range plan.Loads {
		repetitions += perLoad * max(l.Rounds, 1)
	}
	m.watch = newWatch(s.client, repetitions, plan.Progress)
	m.watch.part, m.watch.crew = m.part, plan.Crew
	defer m.watch.tick()()
	var highest load.Level
	var err error
	if plan.Search != nil {
		highest, err = m.search(ctx)
	} else {
		err = m.rounds(ctx)
	}
	if err == nil {
		m.watch.finish()
	}
	if len(m.runs) > 0 {
		s.addFirst(&m.runs[0])
	}
	return m.runs, highest, err
}

// filled is the plan with a value for what was left out; it refuses a plan that cannot be carried
// out.
func (plan Plan) filled() (Plan, error) {
	plan.Runs = max(plan.Runs, 1)
	if len(plan.Levels) == 0 {
		plan.Levels = []load.Level{{}}
	}
	if len(plan.Loads) == 0 {
		return plan, errors.New("the plan has no load")
	}
	if plan.Search != nil && len(plan.Loads) > 1 {
		return plan, fmt.Errorf("a search is of one load, not of %d", len(plan.Loads))
	}
	if plan.Crew != nil && plan.Maintain != nil {
		return plan, errors.New("workers cannot wait for a maintenance of the server")
	}
	if err := plan.checkShare(); err != nil {
		return plan, err
	}
	loads := make([]load.Load, len(plan.Loads))
	for i, l := range plan.Loads {
		loads[i] = l.Filled()
		if err := loads[i].Check(); err != nil {
			return plan, err
		}
		if l.Cache == load.Restored && plan.Reset == nil {
			return plan, fmt.Errorf("load %s: restored caches need a way to make the server forget "+
				"what it has in memory", loads[i].Name)
		}
	}
	plan.Loads = loads
	return plan, nil
}

func (m *measurement) rounds(ctx context.Context) error {
	for i := range m.plan.Runs {
		for _, l := range m.plan.Loads {
			for _, level := range m.plan.Levels {
				if err := m.run(ctx, l, level, m.plan.First+i); err != nil {
					return err
				}
			}
		}
		if u := m.plan.Until; u != nil && Spread(u, m.runs) <= u.Within {
			break
		}
	}
	return m.checkMeasured()
}

// part is how much of the current run's repetition is over, from 0 to 1, where that is known.
func (m *measurement) part() float64 {
	x := m.now.Load()
	if x == nil || x.load.Together > 0 {
		return 0
	}
	part := 0.0
	if n := x.load.Expected(); n > 0 {
		part = float64(x.ended.Load()) / float64(n)
	}
	if d := x.load.Duration; d > 0 {
		part = max(part, float64(m.client.Since()-x.start)/float64(d))
	}
	return min(part, 1)
}
