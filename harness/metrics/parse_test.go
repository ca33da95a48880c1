package metrics

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"gotest.tools/v3/assert"
)

// The texts of servers as they are, and what is peculiar in the format.
var scrapes = []string{
	"",
	"loadstone_queue_depth 3\nloadstone_running 8",
	"# HELP a What it is.\n# TYPE a counter\na{x=\"1\",y=\"2\"} 1027 1395066363000\na{x=\"2\"} 3\n",
	"\n  # a comment\r\n\t a_total  +Inf\nb NaN\nc -1.5e-3\n",
	"vllm:num_requests_running{engine=\"0\",model_name=\"a\"} 4.0\n" +
		"# TYPE vllm:time_to_first_token_seconds histogram\n" +
		"vllm:time_to_first_token_seconds_bucket{le=\"0.001\"} 0\n" +
		"vllm:time_to_first_token_seconds_bucket{le=\"+Inf\"} 2\n" +
		"vllm:time_to_first_token_seconds_count 2\nvllm:time_to_first_token_seconds_sum 0.5\n",
	`a{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9` + "\n",
	"a { x = \"}, b 1\" , } 12\nb{} 1\n",
	"a{x=\"ü\"} 1\n",
}

// Every counter, gauge and untyped metric is what the parser of the Prometheus project makes of it.
func TestParseAsPrometheusDoes(t *testing.T) {
	for _, text := range scrapes {
		m, err := Parse(strings.NewReader(text))
		assert.NilError(t, err, "%q", text)
		compareWithPrometheus(t, text, m)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a":                "has no value",
		"a 1\nb\n":         "line 2: ",
		"<html>":           "has no value",
		"<html> 1":         "is not the name of a metric",
		"1a 1":             "is not the name of a metric",
		"a one":            `a: "one" is not a number`,
		"a 1 2 3":          "a: want a value and perhaps a timestamp",
		"a{} ":             "a: want a value",
		"a{x} 1":           "want a label such as",
		`a{x=1} 1`:         "want a label such as",
		`a{x="1" y="2"} 1`: "want a comma or a brace",
		`a{x="1} 1`:        "the value of the label x does not end",
		`a{x="\d"} 1`:      "the value of the label x does not end",
	} {
		_, err := Parse(strings.NewReader(text))
		assert.ErrorContains(t, err, want, "%q", text)
	}
}

// FuzzParse holds the parser to the one of the Prometheus project.
func FuzzParse(f *testing.F) {
	for _, text := range scrapes {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := Parse(strings.NewReader(text)); err == nil {
			compareWithPrometheus(t, text, m)
		}
	})
}

var plainName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// compareWithPrometheus compares what Parse made of a text with what expfmt does. A text that
// expfmt refuses, for one of the many rules that no value depends on, is left out.
func compareWithPrometheus(t *testing.T, text string, m Metrics) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text + "\n"))
	if err != nil {
		return
	}
	for name, family := range families {
		if !plainName.MatchString(name) { // it stands in quotes, after whatever expfmt passes over
			continue
		}
		for _, want := range family.GetMetric() {
			if want.Histogram != nil || want.Summary != nil || strings.ContainsAny(text, "{") &&
				strings.Contains(text, "{\"") {
				continue
			}
			var labels []string
			for _, l := range want.GetLabel() {
				labels = append(labels, l.GetName(), l.GetValue())
			}
			value := want.GetCounter().GetValue() + want.GetGauge().GetValue() +
				want.GetUntyped().GetValue()
			found := false
			for _, s := range m[name] {
				if len(s.Labels) == len(want.GetLabel()) && s.has(labels) {
					found = found || s.Value == value || math.IsNaN(s.Value) && math.IsNaN(value)
				}
			}
			assert.Assert(t, found, "%q: want %s%v = %g, got %v", text, name, labels, value, m[name])
		}
	}
}

// BenchmarkParse reads a scrape as large as a vLLM server's, which is done 50 times a second beside
// the server that is measured.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, "# HELP counter_%d_total What it counts.\n# TYPE counter_%d_total counter\n", i, i)
		for j := range 8 {
			fmt.Fprintf(&text, "counter_%d_total{engine=\"0\",model_name=\"a\",kind=\"%d\"} %d\n", i, j, i*j)
		}
		fmt.Fprintf(&text, "# TYPE seconds_%d histogram\n", i)
		for j := range 20 {
			fmt.Fprintf(&text, "seconds_%d_bucket{engine=\"0\",le=\"%d.5\"} %d\n", i, j, j)
		}
		fmt.Fprintf(&text, "seconds_%d_sum{engine=\"0\"} 1.5\nseconds_%d_count{engine=\"0\"} 20\n", i, i)
	}
	for _, p := range []struct {
		name  string
		parse func(r io.Reader) error
	}{
		{"loadstone", func(r io.Reader) error { _, err := Parse(r); return err }},
		{"expfmt", func(r io.Reader) error {
			parser := expfmt.NewTextParser(model.UTF8Validation)
			_, err := parser.TextToMetricFamilies(r)
			return err
		}},
	} {
		b.Run("parser="+p.name, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.parse(strings.NewReader(text.String())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What our server publishes of its window slots, by its names of today and of before, and at which
// share of its pool it refuses.
func TestPoolOfOlderServers(t *testing.T) {
	for text, want := range map[string][2]int{
		"loadstone_pool_window_slots{state=\"used\"} 3\nloadstone_pool_window_slots{state=\"free\"} 5\n" +
			"loadstone_pool_request_window_slots 2\nloadstone_pool_admit_below_ratio 0.8\n": {8, 2},
		"loadstone_pool_locals{state=\"used\"} 3\nloadstone_pool_locals{state=\"free\"} 4\n" +
			"loadstone_pool_request_locals 1\n": {7, 1},
		"": {0, 0},
	} {
		m, err := Parse(strings.NewReader(text))
		assert.NilError(t, err)
		total, perRequest := m.WindowSlots()
		assert.Equal(t, [2]int{total, perRequest}, want)
		admit := 0.9
		if strings.Contains(text, "admit") {
			admit = 0.8
		}
		assert.Equal(t, m.AdmitBelow(), admit)
		if total > 0 {
			assert.Equal(t, m.State().String(), "3 window slots in use")
		}
	}
}

// What is left above what was there before is said in the units that people read.
func TestStateAbove(t *testing.T) {
	before := State{RunningRequests: 0, Blocks: 4, Goroutines: 10, Memory: 100 << 20}
	after := State{RunningRequests: 2, Blocks: 4, Goroutines: 13, Memory: 200 << 20}
	assert.DeepEqual(t, after.Above(before),
		[]string{"2 requests that run, 0 before", "200 MiB of memory, 100 before"})
	delete(after, Blocks)
	assert.DeepEqual(t, after.Above(before)[1],
		"the server no longer publishes its blocks in use")
	assert.Equal(t, before.String(),
		"0 requests that run, 4 blocks in use, 10 goroutines, 100 MiB of memory")
}
