package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// generated is a load of two rates by agents that several load generators can share.
func generated() *Report {
	r := &Report{Meta: Meta{System: System{Model: "tiny"},
		Workload: Workload{Shape: "poisson", Goodput: "ttft < 8ms"},
		Epoch:    time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}}
	for _, rate := range []float64{1, 2} {
		s := Result{Level: load.Level{Kind: "rate", Value: rate}, Agents: 4,
			Pooled: record.Summary{Scenario: "x", PeakPool: -1}}
		for i := range 400 {
			due := time.Duration(i) * time.Millisecond
			first := due + time.Duration(1+i%10)*time.Millisecond
			s.Records = append(s.Records, record.Record{Place: record.Place{Scenario: "x",
				Run: i / 200, Agent: fmt.Sprint(i % 4), Level: s.Level}, Outcome: record.OK,
				Due: due, Sent: due,
				FirstByte: -1, FirstContent: first,
				Chunks: []time.Duration{first, first + time.Millisecond},
				End:    first + 2*time.Millisecond, PromptTokens: 9, OutputTokens: 2,
				Server: record.Untimed})
		}
		r.Results = append(r.Results, s)
	}
	r.SetGoodput(load.Objective{TTFT: 8 * time.Millisecond})
	return r
}

// dealt is a share of the report's agents, as a load generator measures it whose clock began later.
func dealt(r *Report, agents string, later time.Duration) *Report {
	p := *r
	p.Epoch, p.Results = r.Epoch.Add(later), nil
	for _, s := range r.Results {
		own := Result{Level: s.Level, Agents: len(agents),
			Pooled: record.Summary{Scenario: "x", PeakPool: -1}}
		for _, rec := range shifted(s.Records, -later) {
			for _, a := range agents {
				if rec.Agent == string(a) {
					own.Records = append(own.Records, rec)
				}
			}
		}
		p.Results = append(p.Results, own)
	}
	p.SetGoodput(load.Objective{TTFT: 8 * time.Millisecond})
	return &p
}

// A load that several generators share is the same load.
func TestMerge(t *testing.T) {
	whole := generated()
	// A clock that begins within the load would make times before it negative, which are times that
	// never came.
	got, err := Merge([]*Report{dealt(whole, "02", -5*time.Second),
		dealt(whole, "1", -3*time.Second), dealt(whole, "3", -70*time.Second)})
	assert.NilError(t, err)
	for i := range whole.Results {
		assert.Equal(t, got.Results[i].Agents, 4)
		assert.DeepEqual(t, got.Results[i].Pooled, whole.Results[i].Pooled)
		assert.DeepEqual(t, got.Results[i].Runs, whole.Results[i].Runs)
		assert.DeepEqual(t, got.Results[i].Records,
			shifted(whole.Results[i].Records, 70*time.Second))
	}
}

func TestMergeRefusesUnlikeParts(t *testing.T) {
	whole := generated()
	for _, tc := range []struct {
		want   string
		change func(p *Report)
	}{
		{"is not a load of loadstone run", func(p *Report) { p.Workload.Shape = "" }},
		{"does not say when", func(p *Report) { p.Epoch = time.Time{} }},
		{"measured", func(p *Report) { p.System.Model = "other" }},
		{"as good", func(p *Report) { p.Workload.Goodput = "" }},
		{"has no x rate=2", func(p *Report) { p.Results = p.Results[:1] }},
		{"only 67 % are loaded by all parts",
			func(p *Report) { p.Epoch = p.Epoch.Add(40 * time.Millisecond) }},
		{"only 0 % are loaded by all parts", func(p *Report) { p.Epoch = p.Epoch.Add(time.Hour) }},
		{"only 1 of 2 parts have it",
			func(p *Report) { p.Results[1].Records = p.Results[1].Records[:50] }},
		{"part 2 is incomplete: interrupted", func(p *Report) { p.Stopped = "interrupted" }},
		{"part 2 is not a sound measurement: 2 violations, the first: cache: was to be cold",
			func(p *Report) { p.Violations = []string{"cache: was to be cold", "leak"} }},
		{"parts 1 and 2 have the same seed, 31", func(p *Report) { p.Workload.Seed = 31 }},
		{"requests is 8 in the first part and 150 in part 2", func(p *Report) {
			p.Results[0].Asked = load.Load{Concurrency: 1, Requests: 150}.Identity()
		}},
		{"turns is 1 in the first part and 4 in part 2; system is not given in the first part " +
			"and 1 of 900 tokens in part 2", func(p *Report) {
			p.Results[0].Asked = load.Load{Concurrency: 1, Requests: 8, Turns: load.Fixed(4),
				System: 1, SystemTokens: 900}.Identity()
		}},
	} {
		a, b := dealt(whole, "02", -time.Second), dealt(whole, "13", -time.Second)
		a.Workload.Seed = 31
		a.Results[0].Asked = load.Load{Concurrency: 1, Requests: 8}.Identity()
		tc.change(b)
		_, err := Merge([]*Report{a, b})
		assert.ErrorContains(t, err, tc.want)
	}
}

// A part that is merged twice, a copy of it with another clock, and parts that have requests in
// common count them twice.
func TestMergeRefusesOverlap(t *testing.T) {
	whole := generated()
	a, b := dealt(whole, "02", -5*time.Second), dealt(whole, "13", -3*time.Second)
	moved := dealt(whole, "02", -9*time.Second)
	both, err := Merge([]*Report{a, b})
	assert.NilError(t, err)
	for _, tc := range []struct {
		parts []*Report
		want  string
	}{
		{[]*Report{a, a}, "parts 1 and 2 are the same measurement"},
		{[]*Report{a, b, moved}, "parts 1 and 3 are the same measurement"},
		{[]*Report{both, b}, "parts 1 and 2 overlap: 400 requests are in both"},
		{[]*Report{a, dealt(whole, "123", 0)}, "parts 1 and 2 overlap: 200 requests are in both"},
	} {
		_, err := Merge(tc.parts)
		assert.ErrorContains(t, err, tc.want)
	}
}

// The identity of a load that was put on a server by several generators says by how many.
func TestMergedIdentity(t *testing.T) {
	whole := generated()
	a, b := dealt(whole, "02", 0), dealt(whole, "13", 0)
	for _, p := range []*Report{a, b} {
		p.Results[0].Asked = load.Load{Concurrency: 2, Requests: 400}.Identity()
	}
	both, err := Merge([]*Report{a, b})
	assert.NilError(t, err)
	assert.Equal(t, both.Results[0].Asked.Get("parts"), "2")
	assert.Equal(t, len(both.Results[1].Asked), 0)
	var text bytes.Buffer
	assert.NilError(t, both.WriteBench(&text))
	assert.Assert(t, strings.Contains(text.String(), `parts="2" goodput="ttft < 8ms"`), text.String())
}

// What was put together is read again as it was, with how many parts it has.
func TestMergedIsReadAgain(t *testing.T) {
	whole := generated()
	a, b := dealt(whole, "02", 0), dealt(whole, "13", 0)
	for _, p := range []*Report{a, b} {
		for i := range p.Results {
			p.Results[i].Asked = load.Load{Concurrency: 2, Requests: 400}.Identity()
		}
	}
	both, err := Merge([]*Report{a, b})
	assert.NilError(t, err)
	var stored, want, got bytes.Buffer
	assert.NilError(t, both.WriteJSON(&stored))
	assert.NilError(t, both.WriteBench(&want))
	var records []record.Record
	for i := range both.Results {
		records = append(records, both.Results[i].Records...)
	}
	again, err := Read(&stored, records, nil)
	assert.NilError(t, err)
	assert.NilError(t, again.WriteBench(&got))
	assert.Equal(t, got.String(), want.String())
	_, err = Merge([]*Report{again, b})
	assert.ErrorContains(t, err, "overlap: 400 requests are in both")
}

// The shares of one load are that load: all of them, each once, with one seed, which are no other
// load than one process puts on the server.
func TestMergeShares(t *testing.T) {
	whole := generated()
	share := func(part, agents string) *Report {
		p := dealt(whole, agents, -time.Second)
		p.Workload.Part, p.Workload.Seed = part, 7
		for i := range p.Results {
			p.Results[i].Agents = 4
			p.Results[i].Asked = load.Load{Concurrency: 4, Requests: 400}.Identity()
		}
		return p
	}
	got, err := Merge([]*Report{share("1/3", "1"), share("0/3", "03"), share("2/3", "2")})
	assert.NilError(t, err)
	assert.Equal(t, got.Workload.Part, "")
	for i := range whole.Results {
		assert.Equal(t, got.Results[i].Agents, 4)
		assert.Equal(t, got.Results[i].Asked.Get("parts"), "")
		assert.DeepEqual(t, got.Results[i].Pooled, whole.Results[i].Pooled)
	}
	other := share("2/3", "2")
	other.Workload.Seed = 8
	for _, tc := range []struct {
		parts []*Report
		want  string
	}{
		{[]*Report{share("0/3", "03"), share("1/3", "1")}, "2/3 of the load is missing"},
		{[]*Report{share("0/2", "03"), share("0/2", "12")}, "parts 1 and 2 are both 0/2 of the load"},
		{[]*Report{share("0/2", "03"), share("1/3", "1")}, "part 2 is 1/3 of a load, and the first one 0/2"},
		{[]*Report{share("", "03"), share("1/2", "12")}, "part 2 is 1/2 of a load, and the first one all"},
		{[]*Report{share("0/3", "03"), share("1/3", "1"), other}, "no shares of one load"},
	} {
		_, err := Merge(tc.parts)
		assert.ErrorContains(t, err, tc.want)
	}
}
