package load

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// schedule writes what each of a share's first agents does, call by call, by the agent's number. Of
// an open loop it has when each comes, of a closed one the place that it takes.
func schedule(l *Load, s Share, agents int) map[int]string {
	all := map[int]string{}
	add := func(i int, comes string) {
		var b strings.Builder
		fmt.Fprintf(&b, "agent %d %s\n", i, comes)
		session, n := l.Session(i), 0
		fmt.Fprintf(&b, "%q %q %v %+v\n", session.Name, session.Secret, session.Linear, session.Begin)
		for c := range session.Calls {
			if n++; n > 200 { // endless
				break
			}
			recorded := c.Recorded
			c.Recorded = nil
			fmt.Fprintf(&b, "%+v %+v\n", c, recorded)
		}
		all[i] = b.String()
	}
	if l.places() == 0 {
		for i, at := range s.Arrivals(l) {
			if i >= agents {
				break
			}
			add(i, "comes at "+at.String())
		}
		return all
	}
	for k := 0; ; k++ {
		i := s.Agent(l, k)
		if i >= min(agents, l.MaxAgents()) {
			return all
		}
		add(i, fmt.Sprintf("in place %d", i%l.places()))
	}
}

// kinds are a load of every kind that there is.
func kinds(t *testing.T) map[string]Load {
	kinds := map[string]Load{
		"closed":              {Concurrency: 10, Jobs: 77, Turns: Fixed(3), System: 2, SystemTokens: 50},
		"closed, few":         {Concurrency: 2, Requests: 30},
		"requests":            {Concurrency: 7, Requests: 101, Prompt: Amount{Kind: "lognormal", A: 90, B: 50}},
		"endless":             {Concurrency: 5, Turns: Endless, Duration: time.Minute},
		"together":            {Together: 10, Rounds: 3},
		"together with turns": {Together: 9, Rounds: 4, Turns: Fixed(2), Cache: Hot},
		"even":                {Rate: Constant(7), Requests: 60},
		"Poisson":             {Rate: Ramp(1, 20, 3*time.Second), Gaps: 1, Duration: 5 * time.Second},
		"clustered":           {Rate: Constant(20), Gaps: 0.3, Jobs: 50, Turns: Amount{Kind: "uniform", A: 1, B: 4}},
		"burst":               {Burst: Burst{Size: 13}},
		"bursts":              {Burst: Burst{Size: 5, Every: time.Second}, Requests: 33},
		"cancelled": {Concurrency: 3, Jobs: 40, FanOut: Fixed(2), Turns: Fixed(3),
			Cancel: Cancel{Share: 0.3, After: Fixed(0.2)}, Slow: Slow{Share: 0.2, Rate: 90}},
		"agents": {Concurrency: 4, Jobs: 21, Turns: Fixed(6), Compact: Compaction{At: Fixed(600), To: Fixed(90)},
			SubAgents: SubAgents{Number: Fixed(2), Calls: Fixed(2), Share: 0.5}},
		"trace": {Trace: []TraceRequest{{At: 0, Input: 900, Output: 3}, {At: time.Second, Input: 70, Output: 9},
			{At: time.Second, Input: 64, Output: 1}, {At: 4 * time.Second, Input: 5, Output: 5}}, Speed: 2},
	}
	files, err := filepath.Glob(filepath.Join("testdata", "sources", "*"))
	assert.NilError(t, err)
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		source, err := OpenSource(name, 0)
		if err != nil {
			continue // a fixture of an error
		}
		name = filepath.Base(name)
		switch {
		case source.Requests != nil:
			kinds["trace "+name] = Load{Trace: source.Requests}
		case source.Timed:
			kinds["as recorded "+name] = Load{Sessions: source.Sessions, AsRecorded: true}
			fallthrough
		default:
			kinds["sessions "+name] = Load{Sessions: source.Sessions, Concurrency: 3}
		}
	}
	assert.Assert(t, len(kinds) > 16, "the fixtures of recorded traffic were not found")
	for name, l := range kinds {
		kinds[name] = l.Filled()
	}
	return kinds
}

// The shares of a load together are the load, byte for byte, whatever their number and the load's
// kind: no agent is left out, none is in two, and what each does and when it comes is the same.
func TestSharesAreTheLoad(t *testing.T) {
	const agents = 120
	for name, l := range kinds(t) {
		whole := schedule(&l, Share{}, agents)
		assert.Assert(t, len(whole) > 0, name)
		for _, n := range []int{1, 2, 4, 11} {
			union, places, requests := map[int]string{}, []int{}, 0
			for part := range n {
				s := Share{part, n}
				for i, text := range schedule(&l, s, agents) {
					_, twice := union[i]
					assert.Assert(t, !twice, "%s: agent %d is in two of %d shares", name, i, n)
					assert.Assert(t, s.Has(&l, i), "%s: agent %d is not in share %v", name, i, s)
					union[i] = text
				}
				places = append(places, s.Places(&l)...)
				requests += s.Requests(&l)
			}
			assert.DeepEqual(t, union, whole)
			slices.Sort(places)
			assert.Equal(t, len(slices.Compact(places)), l.places(), name)
			assert.Equal(t, requests, l.Requests, name)
		}
	}
}

// Where each agent asks once, a share's number of requests is that of its agents among the first.
func TestShareOfRequests(t *testing.T) {
	for _, l := range []Load{{Concurrency: 10, Requests: 104}, {Rate: Constant(1), Requests: 13}, {Concurrency: 3, Requests: 2}} {
		for part := range 4 {
			s, n := Share{part, 4}, 0
			for i := range l.Requests {
				if s.Has(&l, i) {
					n++
				}
			}
			assert.Equal(t, s.Requests(&l), n, "%v of %v", s, l.Requests)
			if n > 0 {
				assert.Assert(t, s.Agent(&l, n-1) < l.Requests && s.Agent(&l, n) >= l.Requests)
			}
		}
	}
}

func TestParseShare(t *testing.T) {
	for _, text := range []string{"", "0/1", "3/4"} {
		s, err := ParseShare(text)
		assert.NilError(t, err)
		assert.Equal(t, s.String(), text)
	}
	for _, text := range []string{"4/4", "-1/4", "1", "a/b", "1/0", "1/2/3"} {
		_, err := ParseShare(text)
		assert.ErrorContains(t, err, "want I/N, such as 0/4 to 3/4")
	}
}
