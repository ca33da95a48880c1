package record

import (
	"math/rand/v2"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
	"loadstone/harness/stats"
)

// request is one of a job, in milliseconds.
func request(agent string, due, end int, change ...func(*Record)) Record {
	r := Record{Place: Place{Agent: agent}, Outcome: OK, Due: time.Duration(due) * ms,
		End: time.Duration(end) * ms, FirstContent: time.Duration(end) * ms, PromptTokens: 100,
		OutputTokens: 10}
	for _, f := range change {
		f(&r)
	}
	return r
}

func starts(r *Record) { r.Begins = true }
func closes(r *Record) { r.Ends = true }
func failed(r *Record) { r.Outcome = Failed }

// A job is its calls and its sub-agents' from the first's being due to the last one's end. Tools
// and sub-agents that work at one time are counted once.
func TestJobs(t *testing.T) {
	records := []Record{
		request("a", 0, 100, starts), request("a:s1", 150, 300), request("a:s2", 160, 400),
		request("a:s1", 320, 350), request("a", 500, 600, closes),
		request("b", 0, 50, starts), request("b", 80, 120, failed), request("b", 130, 200, closes),
		request("c", 0, 70, starts), request("c", 90, 110), // the load ended
		request("d", 40, 90, starts, closes), // a session of one call
	}
	s := Run{Records: records, Elapsed: time.Hour / 2, Goodput: load.Objective{Job: 500 * ms}}.Summary()
	j := s.Jobs
	assert.Equal(t, [3]int{j.N, j.Failed, j.Cut}, [3]int{3, 1, 1})
	assert.Equal(t, j.Time.Min, 50*ms)
	assert.Equal(t, j.Time.P50, 600*ms)
	assert.Equal(t, j.Time.Max, stats.Never)
	assert.Equal(t, j.Calling.P50, (100+250+100)*ms)
	assert.Equal(t, j.Tool.N, 2, "a session of one call has no tool call")
	assert.Equal(t, j.Tool.Min, 100*ms)
	assert.Equal(t, j.Calls, 3.0)
	assert.Equal(t, j.Tokens, 3*110.0)
	assert.Equal(t, j.PerHour, 4.0)
	assert.Equal(t, j.GoodRatio, 1.0/3)
	assert.Equal(t, s.Judged, 0, "an objective of jobs says nothing of answers")

	// An answer that calls a tool is the first tool call, whatever came before it.
	records[1].Calls = `[{"name":"ls"}]`
	s = Run{Records: records}.Summary()
	assert.Equal(t, s.Jobs.Tool.Min, 300*ms)
	assert.Equal(t, s.Jobs.GoodRatio, -1.0)
}

// Single calls alone are requests, and no jobs.
func TestNoJobs(t *testing.T) {
	records := []Record{request("a", 0, 10, starts, closes), request("b", 0, 10, starts, closes)}
	assert.Equal(t, Run{Records: records}.Summary().Jobs, Jobs{GoodRatio: -1})
}

// Jobs are the same in whatever order their requests come, and however they are split among
// tallies, as those of a long load are.
func TestJobsMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 16))
	var records []Record
	for agent := range 20 {
		at := rng.IntN(1000)
		for call := range 8 {
			r := request("agent-"+string(rune('a'+agent)), at, at+rng.IntN(200))
			r.Begins, r.Ends = call == 0, call == 7
			at += rng.IntN(300)
			records = append(records, r)
		}
	}
	want := Run{Records: records, Elapsed: time.Minute}.Summary().Jobs
	for range 20 {
		rng.Shuffle(len(records), func(i, k int) { records[i], records[k] = records[k], records[i] })
		cut := rng.IntN(len(records))
		rest := &Rest{}
		rest.Add(records[cut:])
		got := Run{Records: records[:cut], Rest: rest, Elapsed: time.Minute}.Summary().Jobs
		assert.DeepEqual(t, got, want)
	}
}
