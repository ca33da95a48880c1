package harness_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
	"loadstone/harness/scenario"
)

// derivable are loads of every kind that is drawn from seeds.
func derivable(t *testing.T) map[string]load.Load {
	loads := map[string]load.Load{
		"sustained": {Rate: load.Constant(200), Gaps: 1, Requests: 40},
		"closed":    {Concurrency: 4, Requests: 30, Turns: load.Fixed(3), Think: load.Amount{Kind: "exponential", A: 0.002}},
		"hot":       {Together: 3, Rounds: 4, Cache: load.Hot, Turns: load.Endless},
		"asides": {Concurrency: 2, Jobs: 6, Turns: load.Fixed(3), FanOut: load.Amount{Kind: "uniform", A: 0, B: 3},
			System: 2, SystemTokens: 30},
		"cancels": {Concurrency: 3, Requests: 30, Cancel: load.Cancel{Share: 0.5, Pieces: load.Fixed(2)}},
		"burst":   {Burst: load.Burst{Size: 10}, Prompt: load.Amount{Kind: "lognormal", A: 60, B: 30}},
	}
	for _, name := range scenario.AgentNames {
		f, err := scenario.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		l := f.Load
		l.Jobs, l.Concurrency, l.Replay.Context, l.Think = 3, 2, 512, load.Fixed(0.001)
		loads[name] = l
	}
	return loads
}

// The requests of a run are made again from the seeds: every record's digest, bound and due time is
// the one that they have. Whoever changes the seed, a digest, a bound, a due time, an agent or an
// answer, or leaves a request out, is found out.
func TestDerive(t *testing.T) {
	h := start(t)
	for name, l := range derivable(t) {
		l.Name = name
		l.Seeds = load.OneSeed(7)
		c := client.New(h.Client.URL)
		c.Model = h.Client.Model
		runs, _, err := harness.Plan{Loads: []load.Load{l}, Runs: 1, Again: harness.AskedAgain}.Run(t.Context(), c)
		c.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, run := range runs {
			if run.Asked == nil {
				t.Fatalf("%s: nothing to make its requests again from", name)
			}
			records := slices.Concat(run.Warmup, run.Records)
			records = slices.DeleteFunc(records, func(r record.Record) bool {
				return !strings.HasPrefix(r.Agent, name)
			})
			d := harness.Derivation{Scenario: name, Run: run.Index, Complete: true}
			n, found, err := d.Derive(run.Asked, records)
			if err != nil || len(found) > 0 || n != len(records) {
				t.Errorf("%s, run %d: %d of %d requests made again, %v, %v", name, run.Index, n,
					len(records), found, err)
			}
			for what, change := range map[string]func(records []record.Record) []record.Record{
				"digest": func(r []record.Record) []record.Record {
					r[len(r)/2].AskedDigest = record.NewDigest("something else")
					return r
				},
				"bound": func(r []record.Record) []record.Record { r[len(r)/2].MaxTokens++; return r },
				"missing": func(r []record.Record) []record.Record {
					i := slices.IndexFunc(r, func(r record.Record) bool { return !r.Warmup && !strings.Contains(r.Agent, ":") })
					return slices.Delete(r, i, i+1)
				},
				"stranger": func(r []record.Record) []record.Record { r[len(r)/2].Agent = "another-1-xyz"; return r },
				"early": func(r []record.Record) []record.Record {
					i := slices.IndexFunc(r, func(r record.Record) bool { return !r.Warmup && r.Turn == 1 })
					if i < 0 || l.Together > 0 {
						i = len(r) - 1
					}
					if l.Rate != nil || l.Burst.Size > 0 || l.Together == 0 && r[i].Turn == 1 {
						r[i].Due -= time.Microsecond
						return r
					}
					return nil // when it was due the seeds do not say
				},
				"twice": func(r []record.Record) []record.Record { return append(r, r[len(r)-1]) },
			} {
				changed := change(slices.Clone(records))
				if changed == nil {
					continue
				}
				if _, found, _ := d.Derive(run.Asked, changed); len(found) == 0 {
					t.Errorf("%s: %s was not noticed", name, what)
				}
			}
			// An agent that was under way when the run was killed has no record; later ones may have.
			gone := records[len(records)/2].Job()
			cut := harness.Derivation{Scenario: name, Run: run.Index}
			rest := slices.DeleteFunc(slices.Clone(records), func(r record.Record) bool { return r.Job() == gone })
			if _, found, _ := cut.Derive(run.Asked, rest); len(found) > 0 {
				t.Errorf("%s: without %s, of a run that was killed: %v", name, gone, found)
			}
		}
		wrong := harness.Derivation{Scenario: name, Run: 9}
		if _, found, _ := wrong.Derive(runs[0].Asked, runs[0].Records); len(found) == 0 {
			t.Errorf("%s: another run's words were not noticed", name)
		}
	}
}

// A load of a file of somebody else's, which nobody can have measured, is refused before anything
// is drawn from it.
func TestDeriveHostile(t *testing.T) {
	for _, fields := range []string{`"Turns":"NaN"`, `"Turns":"uniform 0 +Inf"`, `"Prompt":"+Inf"`, `"Prompt":"1e18"`,
		`"FanOut":"1e300"`, `"Answer":"uniform 0 NaN"`, `"SystemTokens":1000000000000,"System":1`, `"System":-1`,
		`"Think":"NaN"`, `"Cancel":{"Share":1,"Pieces":"+Inf"}`, `"Nonsense":1`, `"Concurrency":0`} {
		a := &record.Asked{Form: record.AskedForm, WordTokens: 1,
			Load: []byte(`{"Name":"x","Requests":1,"Concurrency":1,` + fields + `}`)}
		records := []record.Record{{Place: record.Place{Scenario: "x", Agent: "x-0-y"}, Outcome: record.OK}}
		if _, _, err := (harness.Derivation{Scenario: "x"}).Derive(a, records); err == nil {
			t.Errorf("%s was not refused", fields)
		}
	}
}
