package report

import (
	"strings"
	"testing"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// What was empty stands beside what failed; tokens of a piece, stalls, and what the client did not
// believe are said.
func TestEmptyAndNotedAreShown(t *testing.T) {
	ok := record.Record{Place: record.Place{Scenario: "x"}, Outcome: record.OK, PromptTokens: 9, OutputTokens: 6,
		Chunks: []time.Duration{time.Second, 2 * time.Second, 2100 * time.Millisecond}, FirstContent: time.Second,
		End: 3 * time.Second, Server: record.Untimed}
	void := ok
	void.OutputTokens, void.Claimed = -1, 60
	void.Note(record.NoteOverMax, "60 of\x1b[31m 30")
	empty := record.Record{Place: ok.Place, Outcome: record.Empty, Error: "nothing", FirstContent: -1, End: 1, Server: record.Untimed}
	failed := empty
	failed.Outcome, failed.Error = record.Failed, "worker lost"
	show := func(records ...record.Record) string {
		run := record.Run{Scenario: "x", Records: records, Elapsed: time.Second, PeakPool: -1}
		r := New(Meta{}, []load.Load{{Name: "x", Rate: load.Constant(1)}}, []record.Run{run})
		var b strings.Builder
		if err := r.WriteTable(&b, false); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	text := show(ok, void, empty, empty, failed)
	for _, want := range []string{
		"failed  empty\n", "      1      2\n",
		"~: the usage of 1 answer is not to be believed, so each piece of those counts as a token",
		"pieces: x 2.00 tokens each, ", "90.9 % of the time in gaps above 200 ms, the longest 1.00 s",
		"failed: 2 × empty: nothing; 1 × failed: worker lost",
		"noted: 1 × usage claims more tokens than max_tokens allows and counts as unknown: 60 of[31m 30",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := show(ok, failed); strings.Contains(text, "empty") || strings.Contains(text, "noted") {
		t.Errorf("%s", text)
	}
}

// What drafts were worth is said where the server says of any, and only there.
func TestDraftsAreShown(t *testing.T) {
	one := record.Record{Place: record.Place{Scenario: "x"}, Outcome: record.OK, PromptTokens: 9, OutputTokens: 9, DraftedTokens: 8, AcceptedTokens: 6,
		Chunks: []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, FirstContent: time.Second, End: 3 * time.Second, Server: record.Untimed}
	plain := one
	plain.DraftedTokens, plain.AcceptedTokens = 0, 0
	show := func(records ...record.Record) (table, bench string) {
		run := record.Run{Scenario: "x", Records: records, Elapsed: time.Second, PeakPool: -1}
		r := New(Meta{}, []load.Load{{Name: "x", Rate: load.Constant(1)}}, []record.Run{run})
		var b, lines strings.Builder
		if err := r.WriteTable(&b, false); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteBench(&lines); err != nil {
			t.Fatal(err)
		}
		return b.String(), lines.String()
	}
	table, bench := show(one, plain)
	const want = "drafts: x 6 of 8 tokens accepted (75.0 %), 1.50 tokens a step, 250 ms a token, 1.00 s between pieces\n"
	if !strings.Contains(table, want) {
		t.Errorf("no %q in\n%s", want, table)
	}
	if !strings.Contains(bench, " 0.75 accept-ratio 1.5 tokens-per-step") {
		t.Errorf("%s", bench)
	}
	few := one
	few.OutputTokens = 1000
	if table, _ := show(few); strings.Contains(table, "drafts") {
		t.Errorf("%s", table)
	}
	if table, bench := show(plain); strings.Contains(table, "drafts") || strings.Contains(bench, " tokens-per-step\n") {
		t.Errorf("%s%s", table, bench)
	}
}

// A server's own times are not believed where most of its answers took longer to come than it says
// to have worked; one answer that the network held up is no reason.
func TestOwnClock(t *testing.T) {
	const ms = time.Millisecond
	noted := func(late int) string {
		var records []record.Record
		for i := range 10 {
			r := record.Record{Place: record.Place{Scenario: "x"}, Outcome: record.OK,
				Chunks: []time.Duration{100 * ms, 400 * ms}, FirstContent: 100 * ms, End: 400 * ms,
				Server: record.Untimed}
			if r.Server.Total = 390 * ms; i < late {
				r.Server.Total = 2 * ms
			}
			records = append(records, r)
		}
		run := record.Run{Scenario: "x", Records: records, Elapsed: time.Second, PeakPool: -1}
		return New(Meta{}, []load.Load{{Name: "x", Rate: load.Constant(1)}}, []record.Run{run}).Statements().Noted
	}
	if got := noted(1) + noted(0); got != "" {
		t.Error(got)
	}
	const want = "10 × the server says that it took 2.00 ms for an answer whose pieces came over 300 ms (medians)"
	if got := noted(10); !strings.Contains(got, want) {
		t.Error(got)
	}
}
