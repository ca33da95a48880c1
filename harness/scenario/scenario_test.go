package scenario

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"gotest.tools/v3/assert"

	"loadstone/harness/limit"
	"loadstone/harness/load"
)

func TestEveryKey(t *testing.T) {
	f, err := Parse("dir/my load.txtar", []byte(`
for people
-- load --
about: all of it   # a comment
serve: -max-batch 4 -quiet-probes
concurrency: 8
ramp-up: 2s
requests: 100
duration: 1m
turns: uniform 1 5
think: lognormal 2s 1s max 10s
prompt: normal 64 8
follow-up: 12
answer: exponential 50 max 500
fan-out: 3
cancel: 20% after 3 pieces
slow: 10% at 2000 B/s
timeout: 5s
cache: warm
warm-up: 20 requests
runs: 3
sweep: concurrency 1 2 4
seed.think: 9
seed: 7

-- system.txt --
You are one.
-- system-2.txt --
You are another.
-- prompts.txt --
First,
in two lines.

Second.
-- tools.json --
[{"type": "function"}]
-- schema.json --
{"type": "object"}
-- expect --
p95-ttft < 200ms
rejected == 0 # none
-- script/expected.txt --
the script's own
`))
	assert.NilError(t, err)
	want := &File{Runs: 3, Serve: []string{"-max-batch", "4", "-quiet-probes"},
		Levels: []load.Level{{Kind: "concurrency", Value: 1}, {Kind: "concurrency", Value: 2}, {Kind: "concurrency", Value: 4}},
		Expect: []limit.Limit{{Unit: "p95-ttft", Op: "<", Value: 0.2, Text: "p95-ttft < 200ms"}, {Unit: "rejected", Op: "==", Text: "rejected == 0"}},
		Load: load.Load{Name: "my-load", About: "all of it", Seeds: load.Seeds{Text: 7, Length: 7, Order: 7, Schedule: 7, Think: 9, Cancel: 7},
			Concurrency: 8, RampUp: 2 * time.Second, Requests: 100, Duration: time.Minute,
			Turns: load.Amount{Kind: "uniform", A: 1, B: 5}, Think: load.Amount{Kind: "lognormal", A: 2, B: 1, Max: 10},
			Prompt: load.Amount{Kind: "normal", A: 64, B: 8}, FollowUp: load.Fixed(12), Answer: load.Amount{Kind: "exponential", A: 50, Max: 500},
			FanOut: load.Fixed(3), SystemPrompts: []string{"You are one.", "You are another."}, Schema: json.RawMessage(`{"type": "object"}`), Prompts: []string{"First,\nin two lines.", "Second."},
			Cancel: load.Cancel{Share: 0.2, Pieces: load.Fixed(3)}, Slow: load.Slow{Share: 0.1, Rate: 2000}, Timeout: 5 * time.Second,
			Cache: load.Hot, WarmUp: load.WarmUp{Requests: 20}},
	}
	assert.Equal(t, len(f.Load.Tools), 1)
	f.Load.Tools = nil
	assert.DeepEqual(t, f, want, cmpopts.IgnoreUnexported(File{}))
}

func TestArrivals(t *testing.T) {
	for _, tc := range []struct {
		load string
		want func(*load.Load)
	}{
		{"rate: 4/s\nduration: 1s", func(l *load.Load) { l.Rate, l.Gaps, l.Duration = load.Constant(4), 1, time.Second }},
		{"rate: 4\ngaps: even\nrequests: 1", func(l *load.Load) { l.Rate, l.Requests = load.Constant(4), 1 }},
		{"rate: 1/s to 20/s over 30s\ngaps: gamma 0.25\nrequests: 1", func(l *load.Load) { l.Rate, l.Gaps, l.Requests = load.Ramp(1, 20, 30*time.Second), 0.25, 1 }},
		{"rate: steps 1/s 2/s each 5s\nrequests: 1", func(l *load.Load) { l.Rate, l.Gaps, l.Requests = load.Steps(5*time.Second, 1, 2), 1, 1 }},
		{"burst: 20", func(l *load.Load) { l.Burst.Size, l.Requests = 20, 20 }},
		{"burst: 20 every 5s\nrequests: 60", func(l *load.Load) { l.Burst, l.Requests = load.Burst{Size: 20, Every: 5 * time.Second}, 60 }},
		{"concurrency: 2\nturns: endless\nrequests: 1", func(l *load.Load) { l.Concurrency, l.Turns, l.Requests = 2, load.Fixed(math.Inf(1)), 1 }},
		{"sweep: rate 2/s 4/s\nrequests: 1", func(l *load.Load) { l.Rate, l.Gaps, l.Requests = load.Constant(2), 1, 1 }},
	} {
		f, err := Parse("x.txtar", []byte("-- load --\n"+tc.load+"\n"))
		assert.NilError(t, err, tc.load)
		want := load.Load{Name: "x", Seeds: load.OneSeed(1), Prompt: load.Fixed(64), Answer: load.Fixed(16), Cache: "cold"}
		tc.want(&want)
		assert.DeepEqual(t, f.Load, want)
	}
}

// Whatever is wrong is told with its place.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "x.txtar:1: no section in it"},
		{"\n-- expect --\nok > 0\n", "x.txtar: no section load in it"},
		{"-- load --\nconcurrency 8\n", `x.txtar:2: "concurrency 8" is not a setting; want KEY: VALUE`},
		{"-- load --\nConcurrency: 1\n", "x.txtar:2: there is no key Concurrency; did you mean concurrency?; keys are name,"},
		{"-- load --\nconcurency: 1\n", "there is no key concurency; did you mean concurrency?"},
		{"-- load --\nwarmup: 1s\n", "there is no key warmup; did you mean warm-up?"},
		{"-- load --\nqps: 1\n", "there is no key qps; did you mean rate?"},
		{"-- load --\nmax_tokens: 1\n", "there is no key max_tokens; did you mean answer?"},
		{"-- load --\ntemperature: 1\n", "there is no key temperature; body: temperature=VALUE sets it in every request; keys"},
		{"-- load --\nxyz: 1\n", "there is no key xyz; keys are"},
		{"-- load --\nburst: 1\n-- tools.json --\n{\"type\":\"function\"}\n", "x.txtar:4: not a JSON array of tools: it is an object; put it between [ and ]"},
		{"-- load --\nburst: 1\n-- expect --\nhit-ratio >= 80\n", `x.txtar:4: "hit-ratio >= 80": a ratio is from 0 to 1, or from 0% to 100%`},
		{"-- load --\nburst: 1\n-- expect --\nerror-ratio < 1\n", `x.txtar:4: "error-ratio < 1": 1 is all of them, and so nearly no limit; want a percentage, such as 1%`},
		{"-- load --\nburst: 1\n-- expect --\nerrors < 5s\n", `x.txtar:4: "errors < 5s": errors is no time`},
		{"-- load --\nburst: 1\n-- expect --\nerrors < 5%\n", `x.txtar:4: "errors < 5%": errors is no ratio, of which there are percentages`},
		{"-- load --\nconcurrency:\n", "x.txtar:2: concurrency has no value; want a number"},
		{"-- load --\nconcurrency: 8\n\nconcurrency: 9\n", "x.txtar:4: concurrency is given twice, first in line 2"},
		{"-- load --\nconcurrency: 0\n", "x.txtar:2: concurrency: 0: want 1 to"},
		{"-- load --\nrate: fast\n", `x.txtar:2: rate: "fast" is not a number`},
		{"-- load --\nrate: 0/s\n", "x.txtar:2: rate: 0/s: want more than 0"},
		{"-- load --\nburst: 5 every day\n", `x.txtar:2: burst: "day" is not a time`},
		{"-- load --\nrequests: 3\n", "x.txtar:2: the load does not say when its agents arrive; want one of concurrency, together, rate, burst, trace"},
		{"-- load --\nconcurrency: 1\nrequests: 1\ngaps: even\n", "x.txtar:4: gaps needs a load with rate"},
		{"-- load --\nconcurrency: 1\nrequests: 1\nsweep: rate 1/s 2/s\n", "x.txtar:4: concurrency and sweep: they vary different things"},
		{"-- load --\nsearch: rate 1/s to 9/s within 5%\nrequests: 1\n", "x.txtar:2: a search needs limits"},
		{"-- load --\nsearch: rate 9/s to 1/s within 5%\n", "x.txtar:2: search: rate=9 is not below rate=1"},
		{"-- load --\ncancel: 120% after 1s\n", `x.txtar:2: cancel: "120%" is not a percentage`},
		{"-- load --\ncache: lukewarm\n", `x.txtar:2: cache: "lukewarm" is not a state of caches; want cold, hot or restored`},
		{"-- load --\ntrace: t.jsonl\n", "x.txtar:2: trace: no section t.jsonl in it"},
		{"-- load --\nburst: 1\n-- tools.json --\n[\n{,\n", "x.txtar:5: not a JSON array of tools"},
		{"-- load --\nburst: 1\n-- expect --\n# nothing\nfast\n", `x.txtar:5: "fast" is not a limit`},
		{"-- load --\nburst: 1\n-- load --\n", "x.txtar:3: a second section load"},
	} {
		_, err := Parse("x.txtar", []byte(tc.text))
		assert.ErrorContains(t, err, tc.want)
	}
}

// An unpacked scenario is the same as its archive, but for where it stands.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "talk")
	assert.NilError(t, os.Mkdir(dir, 0o755))
	for name, text := range map[string]string{"load": "concurrency: 1\nrequests: 1\n", "system.txt": "Be brief.\n", "expect": "ok == 1\n", "server.log": "none of its business"} {
		assert.NilError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	got, err := Read(dir)
	assert.NilError(t, err)
	want, err := Parse("talk.txtar", []byte("-- load --\nconcurrency: 1\nrequests: 1\n-- system.txt --\nBe brief.\n-- expect --\nok == 1\n"))
	assert.NilError(t, err)
	assert.DeepEqual(t, got, want, cmpopts.IgnoreUnexported(File{}))

	assert.NilError(t, os.WriteFile(filepath.Join(dir, "load"), []byte("\nconcurrency: some\n"), 0o644))
	_, err = Read(dir)
	assert.ErrorContains(t, err, filepath.Join(dir, "load")+":2: concurrency")
}

func TestExampleIsOne(t *testing.T) {
	f, err := Parse("example.txtar", []byte(Example))
	assert.NilError(t, err)
	assert.Assert(t, len(f.Expect) > 0)
	// What is commented out would be understood as well.
	for _, m := range regexp.MustCompile(`(?m)^# (([a-z-]+): .*)$`).FindAllStringSubmatch(Example, -1) {
		if m[2] == "trace" {
			continue // needs its section
		}
		text := "-- load --\n" + m[1] + "\n"
		if _, err := Parse("x.txtar", []byte(text)); err != nil && strings.Contains(err.Error(), "x.txtar:2: "+m[2]+":") {
			t.Errorf("%s: %v", m[1], err)
		}
	}
}

// The examples that the repository ships are read without a mistake.
func TestShippedScenarios(t *testing.T) {
	files, err := filepath.Glob("../../testdata/scenarios/*.txtar")
	assert.NilError(t, err)
	assert.Assert(t, len(files) > 0)
	for _, file := range files {
		f, err := Read(file)
		assert.NilError(t, err)
		assert.Equal(t, f.Load.Name, strings.TrimSuffix(filepath.Base(file), ".txtar"))
		assert.Assert(t, len(f.Expect) > 0, "%s expects nothing", file)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("-- load --\nsearch: rate 1/s to 9/s within 5%\nduration: 1s\n-- expect --\nok > 0\n"))
	place := regexp.MustCompile(`^x\.txtar(:\d+)?: `)
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Parse("x.txtar", text)
		if err != nil {
			if !place.MatchString(err.Error()) {
				t.Fatalf("an error without its place: %v", err)
			}
			return
		}
		n := 0
		for call := range got.Load.Session(0).Calls {
			if call.ID != n || call.From >= n || call.Answer < 1 || call.Pause < 0 || len(call.Add) != 1 {
				t.Fatalf("a call that cannot be: %+v", call)
			}
			if n++; n == 10 {
				break
			}
		}
	})
}

func TestRuns(t *testing.T) {
	for _, tc := range []struct{ runs, want string }{
		{"30 until p95-e2e within 5%", ""},
		{"5 until p95-e2e within 5%", "5 runs have no interval, which takes 6; want a number"},
		{"30 until p95-latency within 5%", "there is no p95-latency; there are p50"},
		{"30 until p95-e2e", `"p95-e2e"; want a number`},
		{"30 until p95-e2e within 5", `"5" is not a percentage`},
		{"30 until p95-e2e within 5%\nsearch: concurrency 1 to 8 within 5%", "a search has as many runs at every level"},
	} {
		f, err := Parse("x.txtar", []byte("-- load --\nrequests: 3\nconcurrency: 2\nruns: "+tc.runs+"\n-- expect --\nok > 0\n"))
		if tc.want == "" {
			assert.NilError(t, err)
			assert.DeepEqual(t, f.Until, &Until{Figure: "p95-e2e", Within: 0.05})
			assert.Equal(t, f.Runs, 30)
		} else {
			assert.ErrorContains(t, err, tc.want)
		}
	}
}

// A trace of sessions says when they come, or another key does, and how they are replayed; it is a
// section, a file beside the scenario, or a folder.
func TestTraceOfSessions(t *testing.T) {
	const timed = `{"format":"loadstone sessions","version":1}
{"session":"a","call":0,"at_ms":500,"add":[{"raw":{"role":"user","content":"hi"}}],"was":{"output":3}}
{"session":"b","call":0,"at_ms":900,"add":[{"raw":{"role":"user","content":"so"}}],"was":{"output":3}}
`
	read := func(keys string) (*File, error) {
		return Parse("x.txtar", []byte("-- load --\ntrace: s.jsonl\n"+keys+"\n-- s.jsonl --\n"+timed))
	}
	f, err := read("answers: served\nanswer-length: asked\nidle: 30s\noverflow: cut\ncontext: 4096\nsalt: none\nspeed: 2\nlengths: 0.5")
	assert.NilError(t, err)
	assert.Equal(t, f.Load.AsRecorded, true)
	assert.Equal(t, len(f.Load.Sessions), 2)
	assert.DeepEqual(t, f.Load.Replay, load.Replay{Served: true, AsAsked: true, Idle: 30 * time.Second, Overflow: load.Cut,
		Context: 4096, AsIs: true})
	assert.NilError(t, f.Load.Check())
	assert.DeepEqual(t, slices.Collect(f.Load.Arrivals()), []time.Duration{0, 200 * time.Millisecond})
	f, err = read("rate: 4/s")
	assert.NilError(t, err)
	assert.Equal(t, f.Load.AsRecorded, false)
	assert.DeepEqual(t, f.Load.Replay, load.Replay{})
	assert.NilError(t, f.Load.Check())
	n, known := f.Load.Agents()
	assert.Assert(t, n == 2 && known)

	dir := t.TempDir()
	turn := func(i int) string {
		return fmt.Sprintf(`{"version":1,"conversation_id":"c","conversation_idx":%d,"messages":[{"role":"user","content":"hi"}],"max_output_tokens":4}`+"\n", i)
	}
	assert.NilError(t, os.MkdirAll(filepath.Join(dir, "traces"), 0o700))
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "traces", "c.jsonl"), []byte(turn(0)+turn(1)), 0o600))
	for _, path := range []string{"traces", "traces/c.jsonl", filepath.Join(dir, "traces")} {
		f, err = Parse(filepath.Join(dir, "x.txtar"), []byte("-- load --\ntrace: "+path+"\n"))
		assert.NilError(t, err)
		assert.Equal(t, f.Load.Concurrency, 1) // their times are not known
		assert.Equal(t, f.Load.Expected(), 2)
	}

	for _, tc := range []struct{ keys, want string }{
		{"overflow: shorten", `x.txtar:3: overflow: "shorten" is no rule for calls that exceed the context; want send, skip, cut or compact`},
		{"answers: mine", `x.txtar:3: answers: "mine"; want recorded or served`},
		{"context: 4096", "x.txtar:3: context needs amounts of the context, or an overflow of skip, cut or compact"},
		{"turns: 3", "trace and turns: a trace brings its own prompts and answers"},
		{"concurrency: 2\nrate: 1/s", "a load has only one of"},
		{"cache: hot", ""},
	} {
		f, err := read(tc.keys)
		if tc.want == "" {
			assert.NilError(t, err)
			assert.ErrorContains(t, f.Load.Check(), "a recorded session begins with its first call")
			continue
		}
		assert.ErrorContains(t, err, tc.want)
	}
	_, err = Parse("x.txtar", []byte("-- load --\nrate: 1/s\nrequests: 2\nanswers: served\n"))
	assert.Error(t, err, "x.txtar:4: answers needs a trace of sessions")
	_, err = Parse("x.txtar", []byte("-- load --\ntrace: none.jsonl\n"))
	assert.ErrorContains(t, err, "x.txtar:2: trace: no section none.jsonl in it, and no such file or folder; want the name")
	_, err = Parse("x.txtar", []byte("-- load --\ntrace: s.jsonl\n-- s.jsonl --\n"+timed+"{\"session\":\"b\",\"call\":7,\n"))
	assert.ErrorContains(t, err, "x.txtar:7: not a call of a recording")
}
