package report

import (
	"bytes"
	"strings"
	"testing"
)

// A run is invalid whose server counted other requests than the client's, and every form of the
// report says so.
func TestMiscountIsInvalid(t *testing.T) {
	r := fixed()
	r.Results[1].Runs[2].Counters.Server["answered_requests"] += 4
	const want = "single-cached, run 3: the server counted 14 answered requests, and the client " +
		"has 10"
	var table, baseline, lines, results bytes.Buffer
	r.WriteTable(&table, false)
	r.WriteBaseline(&baseline)
	r.WriteJSON(&results)
	r.WriteBench(&lines)
	for name, b := range map[string]*bytes.Buffer{"table": &table, "baseline": &baseline,
		"results": &results} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s does not say: %s", name, want)
		}
	}
	if !strings.Contains(lines.String(), "client: invalid") {
		t.Error("its benchmark lines would be compared with sound ones")
	}
}
