package liars

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/golden"

	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
)

// The documentation has the table that the servers are made from.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	assert.NilError(t, err)
	const from = "(go test ./harness/liars -update).\n//\n"
	const to = "//\n// # Rules that can be disputed"
	before, rest, ok := strings.Cut(string(text), from)
	assert.Assert(t, ok)
	_, after, ok := strings.Cut(rest, to)
	assert.Assert(t, ok)
	want := before + from + documentation() + to + after
	if golden.FlagUpdate() {
		assert.NilError(t, os.WriteFile("doc.go", []byte(want), 0o644))
		return
	}
	assert.Equal(t, string(text), want)
}

// documentation is the table as a list of a doc comment.
func documentation() string {
	var b strings.Builder
	for _, row := range Table()[1:] {
		text := row[0] + ": " + row[1] + ". Truthful: " + row[2] + ". Judged by " + row[3] + "."
		line := "//   -"
		for _, word := range strings.Fields(text) {
			if len(line)+1+len(word) > 100 {
				b.WriteString(line + "\n")
				line = "//    "
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Every liar is judged by something, has a name of its own, and the load under which it lies.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	assert.Assert(t, len(All()) >= 30)
	for _, l := range append([]*Liar{Truthful()}, All()...) {
		assert.Assert(t, !seen[l.Name], l.Name)
		seen[l.Name] = true
		assert.Assert(t, l.Alarm != (len(l.Bounds) > 0), "%s is judged by figures or by an alarm", l.Name)
		assert.Assert(t, l.Lie != "" && l.Truth != "" && l.Load.Requests > 0, l.Name)
		assert.Assert(t, l.Load.Concurrency > 0 != (l.Load.Rate > 0), l.Name)
		found, err := Find(l.Name)
		assert.NilError(t, err)
		assert.Equal(t, found.Lie, l.Lie)
	}
	_, err := Find("nobody")
	assert.ErrorContains(t, err, `there is no liar "nobody"; want one of truthful, empty-first-chunk, `)
}

// A tool is judged by what it claims: false figures fool it unless it raises an alarm.
func TestJudge(t *testing.T) {
	find := func(name string) *Liar {
		l, err := Find(name)
		assert.NilError(t, err)
		return l
	}
	figures := map[Figure]float64{TTFT50: 0.160, AnswerMean: 32, ErrorRatio: 0.25, HitRatio: 0,
		TPOT50: 0.01, E2E50: 0.47}
	claim := func(f Figure, v float64, alarms ...string) Claims {
		return Claims{Figures: map[Figure]float64{f: v}, Alarms: alarms}
	}
	for _, tc := range []struct {
		liar   string
		claims Claims
		want   Verdict
	}{
		{"role-first-chunk", claim(TTFT50, 0.165), Told},
		{"role-first-chunk", claim(TTFT50, 0.001), Fooled},
		{"role-first-chunk", claim(TTFT50, 0.001, "the first chunk is empty"), Told},
		{"role-first-chunk", claim(E2E50, 0.47), Mute},
		{"bare-429", claim(ErrorRatio, 0.2), Told},
		{"bare-429", claim(ErrorRatio, 0), Fooled},
		{"no-stream", claim(ErrorRatio, 1), Told},
		{"cut-stream", claim(ErrorRatio, 1), Fooled},
		{"stored-answer", claim(TTFT50, 0.160), Mute},
		{"stored-answer", claim(TTFT50, 0.160, "all answers are one text"), Told},
		{"truthful", claim(TTFT50, 0.165), Told},
		{"truthful", claim(TTFT50, 0.165, "a false alarm"), Fooled},
		{"truthful", claim(AnswerMean, 33), Told},
		{"truthful", claim(AnswerMean, 64), Fooled},
		{"truthful", Claims{}, Mute},
	} {
		l := find(tc.liar)
		j := l.Judge(tc.claims, Truth{Liar: l.Name, Scale: 1, Figures: figures})
		assert.Equal(t, j.Verdict, tc.want, "%s of %v: %v", tc.liar, tc.claims, j.Reasons)
	}
	s := NewScore([]Judgement{{Liar: "truthful", Verdict: Fooled}, {Liar: "a", Verdict: Told},
		{Liar: "b", Verdict: Fooled}, {Liar: "c", Verdict: Mute}})
	assert.Equal(t, s.String(), "the truth about 1 of 3 liars, fooled by 1, mute about 1; "+
		"a false alarm about the truthful server")
}

// A connection that had to wait is in the truth about its request, and the server begins after it.
func TestSlowAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Find("slow-accept")
		assert.NilError(t, err)
		s := l.Server(Options{})
		way, _ := clienttest.TransportTo(t, s.HTTP)
		c := client.NewWithTransport("http://server", way)
		r := c.Ask(t.Context(), c.Since(), client.Prompt{MaxTokens: AnswerTokens,
			Messages: []client.Message{{Role: "user", Content: "Hello there"}}})
		assert.Equal(t, r.TTFT(), acceptAfter+firstToken+2*promptToken)
		synctest.Wait()
		assert.Equal(t, duration(s.Truth().Figures[TTFT50]), r.TTFT())
	})
}
