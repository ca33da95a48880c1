package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"

	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/table"
)

// WriteBench writes the Go benchmark format: one line for each run of a result, the run being the
// sample.
//
// What must be alike for two files to be compared (host, model, backend, load) stands in
// configuration keys: benchstat puts unlike ones into separate tables. Version, commit, time and
// seed may differ between any two files worth comparing, so they stand in comment lines, which
// every reader of the format skips; as keys they would keep benchstat from setting two files side
// by side. What differs between scenarios is part of the name.
//
// Two kinds of lines are Loadstone's own, in the manner of the Unit lines; package gate reads them,
// and every other reader of the format skips them:
//
//	Session id="8c1f…" start="2026-11-29T06:48:58.1Z" interleaved="yes"
//	Load Serve/scenario=chat/agents=4 hash="5e88…" concurrency="4" requests="150" turns="4"
//
// The first says which session the results are of: rounds of files with the same one alternated.
// The second is the identity of a load (see [load.Identity]), which two files must share to be
// compared. As configuration keys, which is what else was tried, the sessions would keep benchstat
// from setting any two files side by side, the identities would give each scenario of a file tables
// of its own, and both would part new results from the baselines that were committed before.
//
// What was not measured whole says so in keys, violations and incomplete, so that it compares with
// nothing anywhere.
//
// Times end in -ns, which benchstat scales for the reader; it knows no other unit of ours, hence
// the Unit lines. No unit is assume=exact: the exact assumption calls any difference significant,
// and a rejection more or less in a run under pressure is not.
func (r *Report) WriteBench(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "# %s\n", strings.Join(r.provenance(), "\n# ")); err != nil {
		return err
	}
	if err := r.writeSession(w); err != nil {
		return err
	}
	out := benchfmt.NewWriter(w)
	figures := figure.Bench()
	if err := figure.WriteUnits(w); err != nil {
		return err
	}
	if err := r.writeLoads(w); err != nil {
		return err
	}
	config := r.config()
	for i := range r.Results {
		s := &r.Results[i]
		for j := range s.Runs {
			run := &s.Runs[j]
			result := &benchfmt.Result{Config: config, Name: benchfmt.Name(s.benchName()),
				Iters: run.Reps}
			for _, f := range figures {
				if v, ok := f.BenchValue(run); ok {
					result.Values = append(result.Values,
						benchfmt.Value{Value: v, Unit: f.BenchUnit()})
				}
			}
			if err := out.Write(result); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSession writes which session the results are of, where that is known.
func (r *Report) writeSession(w io.Writer) error {
	if r.Start.IsZero() {
		return nil
	}
	start := r.Start.UTC().Format(time.RFC3339Nano)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", start, r.Host.Class(), r.Host.CPU))
	line := fmt.Sprintf("Session id=%q start=%q", hex.EncodeToString(sum[:6]), start)
	if r.Interleaved {
		line += ` interleaved="yes"`
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// writeLoads writes the identities of the loads, where they are known.
func (r *Report) writeLoads(w io.Writer) error {
	for i := range r.Results {
		s := &r.Results[i]
		asked := s.Asked.With("body", r.Workload.Body).With("api", r.Workload.API)
		line := asked.BenchLine(s.benchName(), r.Workload.Goodput)
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// benchName is the name of the result's benchmark lines.
func (s *Result) benchName() string {
	return "Serve/" + load.Key{Scenario: s.Pooled.Scenario, Level: s.Level, Agents: s.Agents,
		Prompt: s.PromptTokens, Answer: s.MaxTokens, Cache: s.Cache}.String()
}

// provenance is that in which any two files may differ.
func (r *Report) provenance() []string {
	lines := []string{"loadstone bench, " + r.Start.UTC().Format(time.RFC3339)}
	if r.System.Version != "" {
		lines = append(lines, "version "+r.System.Version)
	}
	if r.System.Commit != "" {
		lines = append(lines, "commit "+r.System.Commit)
	}
	lines = append(lines, "seed "+strconv.FormatUint(r.Workload.Seed, 10))
	if n := len(r.Generator.Workers); n > 0 {
		lines = append(lines, fmt.Sprintf("workers %d", n))
	}
	if r.Stopped != "" {
		lines = append(lines, "incomplete: "+table.OneLine(r.Stopped))
	}
	return lines
}

// config is what must be alike in files that are compared.
func (r *Report) config() []benchfmt.Config {
	var config []benchfmt.Config
	for _, kv := range [][2]string{
		{"goos", r.Host.OS},
		{"goarch", r.Host.Arch},
		{"cpu", r.Host.CPU},
		{"cores", positive(r.Host.Cores)},
		{"mem", bytesIfKnown(r.Host.Memory)},
		{"hostclass", r.Host.Class()},
		{"system", r.System.Name},
		{"model", r.System.Model},
		{"backend", r.System.Backend},
		{"quant", r.System.Quant},
		{"threads", positive(r.System.Threads)},
		{"load", cmp.Or(r.Workload.Shape, fmt.Sprintf("closed, %d repetitions a run",
			r.Workload.Reps))},
		{"client", r.validity()},
		{"violations", r.violated()},
		{"incomplete", r.Stopped},
	} {
		if v := table.OneLine(kv[1]); v != "" { // an empty value would delete the key
			config = append(config, benchfmt.Config{Key: kv[0], Value: []byte(v), File: true})
		}
	}
	return config
}

// validity marks a measurement that the client itself could explain. As a key it keeps one of those
// from being compared with any that is sound, which does not have the key.
func (r *Report) validity() string {
	if len(r.Invalid()) > 0 {
		return "invalid"
	}
	return ""
}

// violated is how many violations there are, and the first of them.
func (r *Report) violated() string {
	if len(r.Violations) == 0 {
		return ""
	}
	return fmt.Sprintf("%d, the first: %s", len(r.Violations), r.Violations[0])
}

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}
