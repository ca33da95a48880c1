package report

import (
	"strings"
	"testing"

	"loadstone/harness/record"
)

func TestWhyFailed(t *testing.T) {
	failed := func(outcome record.Outcome, text string) record.Record {
		return record.Record{Outcome: outcome, Error: text}
	}
	r := &Report{Results: []Result{
		{Records: []record.Record{failed(record.OK, ""), failed(record.Rejected, "429"),
			failed(record.Cancelled, "cancelled"), failed(record.Refused, "port 8080 closed")}},
		{Records: []record.Record{failed(record.Truncated, "broke after 0 chunks"),
			failed(record.Truncated, "broke after 12 chunks"),
			failed(record.Failed, "500: b"), failed(record.Failed, "500: a")}},
	}}
	if got, want := r.whyFailed(),
		"2 × truncated: broke after 0 chunks; 1 × failed: 500: a; 1 × failed: 500: b; 1 other "+
			"reason"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	r.Results[1].Pooled.Resent = 2
	if got := r.resent(); !strings.HasPrefix(got,
		"2 requests met a connection that the server had closed") {
		t.Errorf("of 2 requests that were sent again it says %q", got)
	}
	if got := (&Report{Results: r.Results[:0]}).whyFailed(); got != "" {
		t.Errorf("nothing failed, and it says %q", got)
	}
}
