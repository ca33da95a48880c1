package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/report/page"
	"loadstone/harness/scenario"
	"loadstone/harness/soak"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
	"loadstone/internal/freeport"
)

const soakAbout = `Runs agents against a server for the time -for and tests whether the server
degrades: its hit ratio, its time to first token, its memory, open files and goroutines, and its
files on disk. A trend is reported if the Mann-Kendall test, corrected for the correlation of
neighbouring windows, finds it, if it is large enough to matter, and if it continues in the second
half. The first fifth, in which caches fill, is not judged. A step, or a rise that begins late, is
no trend to that test, whose correction takes it for correlation: look at soak.html as well.

The agents are those of the scenario coding-agent (loadstone init -scenario coding-agent shows it)
or of a FILE of your own, -agents at a time. The server is this program in another process, which
keeps agents' memories on disk, or the server at -url, which must publish its resources at /metrics.
soak writes the results that run writes, and

  soak.html   every series over time, as charts
  soak.json   the windows and the outcome of each series

Flags after -- are those of loadstone serve.`

const soakExamples = `  loadstone soak -for 10m
  loadstone soak -for 1h -model smollm2 -agents 2
  loadstone soak -for 2h -restart-every 20m            its memory of agents must outlast restarts
  loadstone soak -for 6h -speed 20                     six hours of agents in 18 minutes: pauses
                                                       are shorter, answers are not
  loadstone soak -for 1h -url http://127.0.0.1:8080 mine.txtar

Exit codes: 0 no trend to the worse, 1 it went wrong in the middle, 2 wrong command line, 3 a trend,
or something expected does not hold, 4 the server cannot be reached or started, 5 too short to tell,
130 interrupted. What was measured is written.
`

// soakOptions hold the command line of soak.
type soakOptions struct {
	measurementOptions
	file         *scenario.File
	length       time.Duration // of the agents' time
	agents       int
	speed        float64
	restartEvery time.Duration
	seed         uint64
}

func soakCommand(ctx context.Context, e *env, args []string) (failure error) {
	o, err := parseSoak(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	if o.url == "" {
		memories, err := os.MkdirTemp("", "loadstone-agents-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(memories)
		// The folder is large enough for agents to return, and small enough to be full soon: while
		// it fills up, it grows.
		own := []string{"-agents-dir", memories, "-agents-disk", "512MiB"}
		if o.restartEvery > 0 { // at its address, which nobody is to be given meanwhile
			own = append(own, "-addr", freeport.Address())
		}
		o.serve = append(own, o.serve...)
	}
	m, err := begin(ctx, e, &o.measurementOptions, "soak-")
	if err != nil {
		return err
	}
	defer m.end(e, &failure)
	return o.soak(ctx, e, m)
}

// soak runs the load, writes the results and judges them.
func (o *soakOptions) soak(ctx context.Context, e *env, m *measurement) error {
	l := &o.file.Load
	m.report.Workload = report.NewWorkload(l, nil)
	m.report.Workload.Body = o.access.body.String()
	for _, expected := range o.file.Expect {
		m.report.Workload.Expect = append(m.report.Workload.Expect, expected.Text)
	}
	if !o.quiet {
		fmt.Fprintf(e.stderr, "%s at %s: %s, %s for %v\n", m.report.System.Model,
			m.report.System.URL, l.Name, table.Plural(o.agents, "agent"), l.Duration)
	}
	m.report.Epoch = m.client.Epoch()
	journal, err := m.results.journal(e, m.report, o.answers)
	if err != nil {
		return m.results.giveUp(err)
	}
	m.loading()
	runs, s, failure := o.measure(ctx, e, m, journal)
	m.loaded()
	m.report = report.New(m.report.Meta, []load.Load{*l}, runs)
	if err := m.report.Hold(); failure == nil {
		failure = err
	}
	if failure = m.keep(ctx, e, runs, failure); len(runs) == 0 {
		return failure
	}
	s.About = o.about()
	return errors.Join(failure, o.tell(e, m, s))
}

// about describes the soak for its page.
func (o *soakOptions) about() []string {
	l := &o.file.Load
	all := []string{l.Name, table.Plural(o.agents, "agent") + " at a time"}
	if o.speed != 1 {
		all = append(all,
			fmt.Sprintf("%v of agents' time at %g times its speed", o.length, o.speed))
	}
	if o.restartEvery > 0 {
		all = append(all, fmt.Sprintf("restarted every %v", o.restartEvery))
	}
	return all
}

// tell writes and prints the outcome of each series. It returns an error if one has a trend to the
// worse, or if the soak was too short.
func (o *soakOptions) tell(e *env, m *measurement, s *soak.Report) error {
	err := errors.Join(
		writeFile(m.results.path("soak.json"), func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(s)
		}),
		writeFile(m.results.path("soak.html"), func(w io.Writer) error {
			return page.WriteSoak(w, m.report, s)
		}))
	to := e.stdout
	if o.json {
		to = e.stderr
	}
	fmt.Fprintln(to, "\nover time, in", table.Plural(len(s.Windows), "window"), "(soak.html):")
	var rows [][]string
	for i := range s.Verdicts {
		v := &s.Verdicts[i]
		rows = append(rows, []string{"  " + v.Name, v.Text()})
	}
	for _, line := range table.Align(rows, 0, 1) {
		fmt.Fprintln(to, line)
	}
	if err != nil {
		return err
	}
	switch worse := s.Worse(); {
	case len(worse) > 0:
		var all []string
		for _, v := range worse {
			all = append(all, v.Name+" "+v.Text())
		}
		return &exitError{exitMissed, fmt.Errorf("the server degrades: %s",
			strings.Join(all, "; "))}
	case s.Short():
		longer := max(2*o.length, time.Duration(75*o.speed)*time.Second)
		return &exitError{exitNotShown, fmt.Errorf("too few windows to tell a trend from chance; "+
			"use a longer -for, such as %v", longer)}
	}
	fmt.Fprintln(to, "no trend to the worse")
	return unmet(m.report, o.file.Load.Name+": ")
}

func parseSoak(e *env, args []string) (*soakOptions, error) {
	o := &soakOptions{}
	f := flags("soak", soakAbout, soakExamples, e.stdout)
	o.flags(f, "soak")
	f.DurationVar(&o.length, "for", time.Hour, "`time` that the soak lasts")
	f.IntVar(&o.agents, "agents", 0, "number of `agents` at a time; default: the scenario's")
	f.Float64Var(&o.speed, "speed", 1,
		"`factor` by which pauses are shortened; -for and -restart-every are divided by it too")
	f.DurationVar(&o.restartEvery, "restart-every", 0,
		"`interval` at which to restart the server, between requests; agents then continue")
	f.Uint64Var(&o.seed, "seed", 0, "of everything drawn at random; default: another one each time")

	serve, set, err := f.parseBeforeServe(args, 1)
	if err != nil {
		return nil, err
	}
	if err := o.check(f.Arg(0)); err != nil {
		return nil, err
	}
	if !set["seed"] {
		o.seed = uint64(time.Now().UnixMilli())
	}
	o.file.Seed(o.seed)
	o.serve = append(append([]string{}, o.file.Serve...), serve...)
	o.access.add(o.file.Body, o.file.Headers)
	if o.restartEvery > 0 && o.url != "" {
		return nil, usageError("-restart-every restarts a server that soak starts, " +
			"and cannot restart the one at -url")
	}
	return o, o.settle(f, set, len(serve) > 0)
}

// check reads the scenario, checks the options, and sets the load's length and pauses by them.
func (o *soakOptions) check(path string) error {
	var err error
	if path == "" {
		o.file, err = scenario.Named(soakScenario)
	} else if o.file, err = scenario.Read(path); errors.Is(err, fs.ErrNotExist) {
		return usageError("%s does not exist; loadstone init %[1]s writes an example there", path)
	}
	if err != nil {
		return usageError("%w", err)
	}
	l := &o.file.Load
	switch {
	case o.speed <= 0:
		return usageError("-speed is %g; want more than 0", o.speed)
	case time.Duration(float64(o.length)/o.speed) < minSoak:
		return usageError("-for %v at -speed %g takes %v; want %v or more", o.length, o.speed,
			time.Duration(float64(o.length)/o.speed), minSoak)
	case o.agents < 0:
		return usageError("-agents is %d; want at least 1", o.agents)
	case o.restartEvery > 0 && float64(o.restartEvery)/o.speed < float64(10*time.Second):
		return usageError("-restart-every %v at -speed %g: want 10s or more by the clock",
			o.restartEvery, o.speed)
	case len(o.file.Levels) > 0 || o.file.Search != nil:
		return usageError("%s is a sweep or a search; a soak is of one load", l.Name)
	case l.Concurrency == 0 && o.agents > 0:
		return usageError("%s has its own arrivals; -agents needs a load with concurrency", l.Name)
	}
	if o.agents > 0 {
		l.Concurrency = o.agents
	}
	o.agents = max(l.Concurrency, l.Together)
	l.Requests, l.Jobs, l.Rounds, l.Duration = 0, 0, 0, time.Duration(float64(o.length)/o.speed)
	l.Think = l.Think.Times(1 / o.speed)
	return nil
}

const (
	soakScenario = "coding-agent"
	minSoak      = 10 * time.Second
)

// measure runs the load.
func (o *soakOptions) measure(ctx context.Context, e *env, m *measurement,
	journal *journal) ([]record.Run, *soak.Report, error) {
	plan := harness.Plan{Loads: []load.Load{o.file.Load}, Again: harness.AskedAgain,
		Write:   m.results.rest(o.answers),
		Journal: journal.addRecords, JournalSamples: journal.addSamples}
	if o.restartEvery > 0 {
		plan.MaintainEvery = time.Duration(float64(o.restartEvery) / o.speed)
		plan.Maintain = func(ctx context.Context) error {
			m.client.Close()
			return m.target.restartThere(ctx)
		}
	}
	if !o.quiet {
		line := terminal.NewProgress(e.stderr, 1)
		defer line.Close()
		plan.Progress = line.Show
	}
	return soak.Soak{Plan: plan}.Run(ctx, m.client)
}
