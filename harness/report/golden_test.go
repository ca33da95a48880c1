package report

import (
	"bytes"
	"io"
	"os"
	"testing"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"
	"gotest.tools/v3/golden"

	"loadstone/harness/figure"
)

func TestGolden(t *testing.T) {
	r := fixed()
	stopped := fixed()
	stopped.Results = stopped.Results[:2]
	stopped.Results[1].Runs = stopped.Results[1].Runs[:1]
	// of a server that does not count, nothing is shown
	stopped.Results[0].Pooled.Counters, stopped.Results[1].Pooled.Counters = nil, nil
	stopped.Stopped = "the server is gone: connection refused"
	failed := fixed()
	failed.Results = failed.Results[:1]
	failed.Results[0].Runs = failed.Results[0].Runs[:2]
	failed.Stopped = "the server said\nUnit req/s better=lower"
	failed.Violations = []string{"leak: agent 1, turn 0: another's secret", "leak: again"}
	for file, write := range map[string]func(io.Writer) error{
		"bench.txt":           r.WriteBench,
		"baseline.md":         r.WriteBaseline,
		"table.txt":           func(w io.Writer) error { return r.WriteTable(w, false) },
		"table-color.txt":     func(w io.Writer) error { return r.WriteTable(w, true) },
		"stopped-baseline.md": stopped.WriteBaseline,
		"failed-bench.txt":    failed.WriteBench,
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden.Assert(t, b.String(), file)
	}
}

// benchstat must set two measurements side by side without flags, and pool nothing unlike: one row
// a scenario, ten samples a unit on each side, every unit with a direction.
func TestBenchstatReads(t *testing.T) {
	dir := t.TempDir()
	older := fixed()
	older.System.Version, older.System.Commit = "v0.0.9", "ba9876543210"
	older.Start = older.Start.AddDate(0, -1, 0)
	older.Workload.Seed = 99
	var files benchfmt.Files
	for name, r := range map[string]*Report{"old.txt": older, "new.txt": fixed()} {
		path := dir + "/" + name
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WriteBench(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		files.Paths = append(files.Paths, path)
	}
	filter, _ := benchproc.NewFilter("*")
	var parser benchproc.ProjectionParser
	table, _, err := parser.ParseWithUnit(".config", filter)
	if err != nil {
		t.Fatal(err)
	}
	row, _ := parser.Parse(".fullname", filter)
	col, _ := parser.Parse(".file", filter)
	type cell struct{ table, row, col benchproc.Key }
	samples := map[cell]int{}
	tables, rows := map[benchproc.Key]bool{}, map[benchproc.Key]bool{}
	for files.Scan() {
		switch rec := files.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Fatal(rec)
		case *benchfmt.Result:
			for _, k := range table.ProjectValues(rec) {
				c := cell{k, row.Project(rec), col.Project(rec)}
				samples[c]++
				tables[k], rows[c.row] = true, true
			}
		}
	}
	if err := files.Err(); err != nil {
		t.Fatal(err)
	}
	measured := 0 // the five scenarios have no jobs
	for _, f := range figure.Bench() {
		if _, ok := f.BenchValue(&older.Results[0].Runs[0]); ok {
			measured++
		}
	}
	if measured < 25 || len(tables) != measured || len(rows) != 5 || len(samples) != measured*5*2 {
		t.Errorf("%d tables, %d rows, %d cells; want one table for each of %d units, 5 rows, 2 "+
			"columns", len(tables), len(rows), len(samples), measured)
	}
	for c, n := range samples {
		if n != 10 {
			t.Errorf("%v %v %v: %d samples, want 10", c.table, c.row, c.col, n)
		}
	}
	known := benchfmt.UnitMetadataMap(files.Units())
	for _, f := range figure.Bench() {
		if known.GetBetter(f.BenchUnit()) == 0 {
			t.Errorf("unit %s has no direction", f.BenchUnit())
		}
	}
}
