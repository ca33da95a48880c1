package report

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"

	"loadstone/harness/figure"
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
// Times end in -ns, which benchstat scales for the reader; it knows no other unit of ours, hence
// the Unit lines. No unit is assume=exact: the exact assumption calls any difference significant,
// and a rejection more or less in a run under pressure is not.
func (r *Report) WriteBench(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "# %s\n", strings.Join(r.provenance(), "\n# ")); err != nil {
		return err
	}
	out := benchfmt.NewWriter(w)
	figures := figure.Bench()
	for _, f := range figures {
		for _, m := range [][2]string{{"better", string(f.Better)}, {"assume", "nothing"}} {
			meta := &benchfmt.UnitMetadata{OrigUnit: f.BenchUnit(), Value: m[1]}
			meta.Unit, meta.Key = f.BenchUnit(), m[0]
			if err := out.Write(meta); err != nil {
				return err
			}
		}
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

// benchName is the name of the result's benchmark lines. It must stay as it is in committed
// baselines, or new results would not be set beside them.
func (s *Result) benchName() string {
	name := "Serve/scenario=" + s.Pooled.Scenario
	if s.Level.Kind != "" {
		name += "/" + s.Level.String()
	}
	for _, part := range []struct {
		key   string
		value int
	}{{"agents", s.Agents}, {"prompt", s.PromptTokens}, {"gen", s.MaxTokens}} {
		if part.value > 0 {
			name += "/" + part.key + "=" + strconv.Itoa(part.value)
		}
	}
	if s.Cache != "" {
		name += "/cache=" + s.Cache.Key()
	}
	return name
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

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}
