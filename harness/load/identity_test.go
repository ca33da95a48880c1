package load

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

// asked are the fields of a load that its identity has, each with a load that differs in it alone
// and the key by which the two differ.
var asked = map[string]struct {
	change func(*Load)
	key    string
}{
	"Concurrency":   {func(l *Load) { l.Concurrency = 5 }, "concurrency"},
	"Together":      {func(l *Load) { l.Together = 5 }, "together"},
	"Rate":          {func(l *Load) { l.Rate = Constant(2) }, "rate"},
	"Burst":         {func(l *Load) { l.Burst.Size = 3 }, "burst"},
	"Trace":         {func(l *Load) { l.Trace = []TraceRequest{{Input: 5, Output: 2}} }, "trace"},
	"Rounds":        {func(l *Load) { l.Rounds = 3 }, "rounds"},
	"Gaps":          {func(l *Load) { l.Rate, l.Gaps = Constant(1), 0.5 }, "gaps"},
	"RampUp":        {func(l *Load) { l.RampUp = time.Second }, "ramp-up"},
	"Speed":         {func(l *Load) { l.Trace, l.Speed = []TraceRequest{}, 4 }, "speed"},
	"Lengths":       {func(l *Load) { l.Trace, l.Lengths = []TraceRequest{}, 0.5 }, "lengths"},
	"Requests":      {func(l *Load) { l.Requests = 150 }, "requests"},
	"Duration":      {func(l *Load) { l.Duration = time.Minute }, "duration"},
	"Turns":         {func(l *Load) { l.Turns = Fixed(4) }, "turns"},
	"Think":         {func(l *Load) { l.Think = Fixed(1.5) }, "think"},
	"Prompt":        {func(l *Load) { l.Prompt = Amount{Kind: "uniform", A: 5, B: 35} }, "prompt"},
	"FollowUp":      {func(l *Load) { l.FollowUp = Fixed(3) }, "follow-up"},
	"Answer":        {func(l *Load) { l.Answer = Fixed(7) }, "answer"},
	"FanOut":        {func(l *Load) { l.FanOut = Fixed(2) }, "fan-out"},
	"Sessions":      {func(l *Load) { l.Sessions = []Session{{}} }, "sessions"},
	"AsRecorded":    {func(l *Load) { l.Sessions, l.AsRecorded = []Session{{}}, true }, "arrival"},
	"Replay":        {func(l *Load) { l.Sessions, l.Replay.Served = []Session{{}, {}}, true }, "answers"},
	"System":        {func(l *Load) { l.System, l.SystemTokens = 1, 900 }, "system"},
	"SystemTokens":  {func(l *Load) { l.System, l.SystemTokens = 1, 90 }, "system"},
	"SystemPrompts": {func(l *Load) { l.SystemPrompts = []string{"be brief"} }, "system-prompts"},
	"Prompts":       {func(l *Load) { l.Prompts = []string{"why?"} }, "prompts"},
	"Schema":        {func(l *Load) { l.Schema = []byte(`{"a":1}`) }, "schema"},
	"Tools":         {func(l *Load) { l.Tools = []json.RawMessage{[]byte(`{"a":1}`)} }, "tools"},
	"Jobs":          {func(l *Load) { l.Jobs = 12 }, "jobs"},
	"Compact":       {func(l *Load) { l.Compact = Compaction{Fixed(600), Fixed(60)} }, "compact"},
	"SubAgents":     {func(l *Load) { l.SubAgents = SubAgents{Fixed(2), Fixed(3), 0.1} }, "sub-agents"},
	"SystemPart":    {func(l *Load) { l.System, l.SystemPart = 1, Amount{A: 0.1, Context: true} }, "system"},
	"Stop":          {func(l *Load) { l.Stop = []string{"."} }, "stop"},
	"Reserve":       {func(l *Load) { l.Reserve = 0.5 }, "reserve"},
	"Cancel":        {func(l *Load) { l.Cancel = Cancel{0.5, Fixed(1), Amount{}} }, "cancel"},
	"Slow":          {func(l *Load) { l.Slow = Slow{0.1, 2000} }, "slow"},
	"Timeout":       {func(l *Load) { l.Timeout = time.Second }, "timeout"},
	"Cache":         {func(l *Load) { l.Cache = Hot }, "cache"},
	"WarmUp":        {func(l *Load) { l.WarmUp.Auto = true }, "warm-up"},
}

// Every field of a load is in its identity or left out on purpose; a field that is added later must
// be decided on here.
func TestIdentityHasEveryField(t *testing.T) {
	leftOut := []string{"Name", "About", "Seeds", "Goodput", "Pool"}
	hashes := map[string]string{Load{}.Identity().Hash(): "nothing"}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Load]()) {
		c, ok := asked[f.Name]
		if slices.Contains(leftOut, f.Name) == ok {
			t.Errorf("%s is both or neither in the identity and left out", f.Name)
			continue
		}
		if !ok {
			continue
		}
		var l Load
		c.change(&l)
		id := l.Identity()
		if id.Get(c.key) == (Load{}).Identity().Get(c.key) {
			t.Errorf("%s: %s is %q, as without", f.Name, c.key, id.Get(c.key))
		}
		if other, known := hashes[id.Hash()]; known {
			t.Errorf("%s has the hash of %s", f.Name, other)
		}
		hashes[id.Hash()] = f.Name
		back, err := ParseIdentity(id.Text())
		assert.NilError(t, err)
		assert.DeepEqual(t, back, id)
	}
}

// What asks nothing else of a server leaves the identity as it is, and so does a default that is
// written out.
func TestIdentityIgnores(t *testing.T) {
	base := Load{Concurrency: 2, Requests: 9}
	for name, change := range map[string]func(*Load){
		"name":     func(l *Load) { l.Name, l.About = "another", "another" },
		"seeds":    func(l *Load) { l.Seeds = OneSeed(77) },
		"pool":     func(l *Load) { l.Pool = Pool{Blocks: 9} },
		"goodput":  func(l *Load) { l.Goodput.TTFT = time.Second },
		"defaults": func(l *Load) { *l = l.Filled() },
		"gaps of a closed loop": func(l *Load) {
			l.Gaps = 1
		},
	} {
		other := base
		change(&other)
		if got, want := other.Identity().Hash(), base.Identity().Hash(); got != want {
			t.Errorf("%s: %s, want %s", name, other.Identity().Text(), base.Identity().Text())
		}
	}
	spaced := Load{Tools: []json.RawMessage{[]byte(`{ "a" : 1 }`)}}
	dense := Load{Tools: []json.RawMessage{[]byte(`{"a":1}`)}}
	assert.Equal(t, spaced.Identity().Hash(), dense.Identity().Hash())
}

// Sessions that differ in one call differ, endless ones end, and numbers that JSON lacks are no
// obstacle.
func TestIdentityOfSessions(t *testing.T) {
	session := func(answer int, endless bool) Session {
		return Session{Calls: func(yield func(Call) bool) {
			for yield(Call{Answer: answer}) && endless {
			}
		}}
	}
	a := Load{Sessions: []Session{session(1, true)}}.Identity()
	b := Load{Sessions: []Session{session(2, true)}}.Identity()
	if a.Hash() == b.Hash() || !strings.HasPrefix(a.Get("sessions"), "1, sha256 ") {
		t.Errorf("%s and %s", a.Text(), b.Text())
	}
	steps := Load{Rate: Profile{{1, 2, time.Second}, {2, math.Inf(1), 2 * time.Second}}}.Identity()
	assert.Equal(t, steps.Get("rate"), "1/s to 2/s over 1s, 2/s to +Inf/s over 2s")
}

func TestParseIdentityErrors(t *testing.T) {
	for _, bad := range []string{"a", "a=b", `="b"`, `a="b`, `a="b" c`} {
		if id, err := ParseIdentity(bad); err == nil {
			t.Errorf("%q: %v", bad, id)
		}
	}
}
