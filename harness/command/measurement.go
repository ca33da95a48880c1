package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/workers"
)

// measurementOptions are the flags that bench and run share: which server is measured, and what is
// written of it.
type measurementOptions struct {
	targetOptions
	out     string
	answers bool
	goodput load.Objective
	seal    sealOptions
	crew    crewOptions
	otlp    string // where spans are exported to; "": nowhere
}

func (o *measurementOptions) flags(f *flagSet, verb string) {
	o.targetOptions.flags(f, verb)
	f.StringVar(&o.out, "out", "", "`folder` for the results; default: loadstone-results/ and the "+
		"time, of run after the scenario's name")
	f.BoolVar(&o.answers, "answers", false, "keep the text of the answers in records.jsonl")
	goodputFlag(f, &o.goodput)
	o.seal.flags(f)
	o.crew.flags(f)
	f.StringVar(&o.otlp, "otlp", "", "`URL` of an OpenTelemetry collector that gets the requests' "+
		"spans once the load is over, such as http://127.0.0.1:4318; a server that exports spans "+
		"then exports those of all requests")
}

// settle checks the flags after parsing, and reads the key that signs the results.
func (o *measurementOptions) settle(f *flagSet, set map[string]bool, serving bool) error {
	if err := errors.Join(o.seal.settle(), o.crew.settle(set)); err != nil {
		return err
	}
	return o.targetOptions.settle(f, set, serving)
}

// goodputFlag declares the flag -goodput.
func goodputFlag(f *flagSet, o *load.Objective) {
	f.Func("goodput", "`objective` that an answer must hold to be good, such as "+
		"'ttft<300ms,tpot<50ms'; those a second are counted", func(s string) (err error) {
		if *o, err = limit.ParseObjective(s); err != nil {
			err = fmt.Errorf("%w; want %s", err, limit.ObjectiveForm)
		}
		return err
	})
}

// A measurement is all that bench or run does with one server, from starting it to writing the last
// file of results.
type measurement struct {
	options *measurementOptions
	target  *target
	results *results
	report  *report.Report
	client  *client.Client
	crew    *workers.Coordinator // nil: this process sends the load

	written bool // the results are all in their files

	began time.Time     // of the load
	used  time.Duration // processor time of this program before it
}

// begin finds the workers, if the flags want any, makes the folder for the results, and finds the
// server or starts it. name comes before the time in the folder's name.
func begin(ctx context.Context, e *env, o *measurementOptions, name string) (*measurement, error) {
	crew, err := o.crew.call(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if o.out == "" {
		o.out = filepath.Join("loadstone-results", name+start.Format("20060102-150405"))
	}
	results, err := newResults(o.out)
	if err != nil {
		closeCrew(crew)
		return nil, err
	}
	s, err := findTarget(ctx, e, &o.targetOptions, results)
	if err != nil {
		closeCrew(crew)
		results.closeLogs()
		return nil, results.giveUp(err)
	}
	c := s.client()
	c.Traced = o.otlp != ""
	scrape, _ := c.Scrape(ctx) // a nil Metrics knows no value
	s.system.AdmitBelow, s.system.ReuseTokens = scrape.AdmitBelow(), scrape.ReuseTokens()
	tellNoMetrics(e, c)
	m := &measurement{options: o, target: s, results: results, client: c, crew: crew,
		report: &report.Report{Meta: report.Meta{System: s.system, Host: report.FindHost(),
			Start: start, StartUp: s.startUp}}}
	if crew != nil {
		if err := m.lead(ctx, e, c); err != nil {
			var none error
			m.end(e, &none)
			return nil, results.giveUp(err)
		}
	}
	return m, nil
}

func closeCrew(c *workers.Coordinator) {
	if c != nil {
		c.Close()
	}
}

// tellNoMetrics writes a note if the server has no metrics, with what it answered instead.
func tellNoMetrics(e *env, c *client.Client) {
	if why := c.NoMetrics(); why != "" {
		fmt.Fprintf(e.stderr, "note: %s/metrics %s, so nothing is known of the server but its "+
			"answers\n", c.URL, why)
	}
}

// end stops the server, after which its logs are whole, and then seals the results if they were
// written. If that fails, and nothing has failed before, failure is set to the error.
func (m *measurement) end(e *env, failure *error) {
	closeCrew(m.crew)
	m.client.Close()
	m.target.stop()
	m.results.closeLogs()
	if m.written {
		if err := m.options.seal.seal(e, m.results.dir, false); *failure == nil {
			*failure = err
		}
	}
}

// loading notes that the load begins.
func (m *measurement) loading() { m.began, m.used = time.Now(), proc.OwnCPU() }

// loaded notes that the load has ended: how busy its client was, and what the server has used.
func (m *measurement) loaded() {
	m.client.Close() // its connections may be all the files that can be open, and results are files
	m.report.Generator.Busy = (proc.OwnCPU() - m.used).Seconds() / time.Since(m.began).Seconds() /
		float64(runtime.GOMAXPROCS(0))
	m.target.usage(m.report)
	if m.crew == nil {
		return
	}
	m.report.Generator.Workers = m.crew.Workers()
	busy := map[string]float64{} // of each machine
	for _, w := range m.report.Generator.Workers {
		busy[w.Machine()] += w.Busy
		m.report.Generator.Busy = max(m.report.Generator.Busy, busy[w.Machine()])
	}
}

// setCrew lets the workers, if there are any, carry out a plan.
func (m *measurement) setCrew(p *harness.Plan) {
	if m.crew != nil {
		p.Crew = m.crew
	}
}

// largestPart returns the records of the worker with the largest part of a load, which is the first
// one, or all records if there are no workers. The client is measured by the load that one of its
// processes has sent.
func (m *measurement) largestPart(l *load.Load, records []record.Record) []record.Record {
	if m.crew == nil {
		return records
	}
	return harness.OfShare(l, load.Share{Of: m.crew.Size()}, records)
}

// keep writes and prints what was measured, even after a failure, and returns the first error: the
// failure, that of a file, or that of records which violate what must always hold.
func (m *measurement) keep(ctx context.Context, e *env, runs []record.Run, failure error) error {
	r := m.report
	if failure != nil {
		failure = m.target.explain(ctx, failure)
		r.Stopped = failure.Error()
	}
	if len(runs) == 0 {
		return m.results.giveUp(failure)
	}
	r.Proof = m.proof()
	// The results are printed even if no file could be written, as on a full disk.
	err := m.results.write(r, m.options.answers)
	m.written = err == nil
	if err := errors.Join(err, printResults(e, m.results.dir, r, m.options.json)); err != nil {
		return errors.Join(failure, err)
	}
	to := e.stdout
	if m.options.json {
		to = e.stderr
	}
	tellUnproven(to, "", runs)
	if err := m.export(ctx, to); failure == nil {
		failure = err
	}
	if n := len(r.Violations); failure == nil && n > 0 {
		failure = fmt.Errorf("%d requests violate what must always hold, the first: %s", n,
			r.Violations[0])
	}
	return failure
}

// export sends the spans of all requests whose records are kept to the collector, if a flag names
// one, and writes how many they are.
func (m *measurement) export(ctx context.Context, w io.Writer) error {
	if m.options.otlp == "" {
		return nil
	}
	var all []record.Record
	for _, s := range m.report.Results {
		all = append(append(all, s.Warmup...), s.Records...)
	}
	n, err := exportSpans(context.WithoutCancel(ctx), m.options.otlp, m.client.Epoch(), all)
	if err != nil {
		return fmt.Errorf("the spans were not exported: %w", err)
	}
	fmt.Fprintf(w, "%d spans were sent to %s\n", n, m.options.otlp)
	return nil
}

// unmet returns an error with its exit code if a limit is missed, or else if too few requests were
// measured to show that one holds.
func unmet(r *report.Report, of string) error {
	e := r.Unmet()
	switch {
	case e == nil:
		return nil
	case e.Missed > 0:
		return &exitError{exitMissed, fmt.Errorf("%s%w", of, e)}
	}
	return &exitError{exitNotShown, fmt.Errorf("%s%w", of, e)}
}
