package score_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
	"loadstone/harness/liars"
	"loadstone/harness/liars/score"
)

// said is what this program says of the liars that no figure shows, or about which a figure of its
// is not the truth. Any other words do not count for it: an alarm that comes by chance is none.
var said = map[string]string{
	"drift":            `latency grew for as long as the run lasted`,
	"double-chunks":    `32 pieces came twice`,
	"split-tokens":     `64 pieces of an answer of 32 tokens`,
	"second-choice":    `a choice of index 1`,
	"usage-quarter":    `32 pieces of an answer of 8 tokens`,
	"short-under-load": `alone afterwards the answer is another .*bytes is missing`,
	"no-answer":        `\d+ requests met a connection that the server had closed`,
	"false-cached":     `the cache was to be cold, but the server had \d+ of a first prompt's`,
	"more-cached":      `128 tokens of a prompt of 64 were cached`,
	"restored-not":     `hits unknown: after a restart what is called cached saves no time`,
	"shared-prefix":    `tokens of a prompt are cached that only the other principal had sent`,
	"shared-time":      `timing: a thousand probes tell \d{3} bits`,
	"stored-answer":    `all are one text, whatever was asked`,
	"others-answer":    `alone afterwards the answer is another`,
	"leak":             `the answer has the secret of agent`,
	"other-model":      `another model answers than was asked for: "tiny-0.1b"`,
	"random":           `repeatable FAIL`,
	"mixed-memory":     `restart FAIL`,
	"own-clock":        `it took 2.00 ms for an answer whose pieces came over 310 ms`,
	"own-counts":       `the server counted 640 output tokens, and the client has 1280`,
	"runs-on":          `recovery FAIL: .*8 requests that run, 0 before`,
}

// judge has a liar judged in a synctest bubble, where time is exact and passes at once.
func judge(t *testing.T, l *liars.Liar) (c liars.Claims, truth liars.Truth) {
	synctest.Test(t, func(t *testing.T) {
		s := l.Server(liars.Options{Seed: 1})
		way, _ := clienttest.TransportTo(t, s.HTTP)
		c = score.Loadstone(t.Context(), l, score.Target{Server: s, Scale: 1,
			Client: func(string) *client.Client {
				return client.NewWithTransport("http://server", way)
			}})
		truth = s.Truth()
	})
	return c, truth
}

// This program tells the truth about every liar, and raises no alarm about the server that tells
// none.
func TestScore(t *testing.T) {
	all, err := liars.Select(nil)
	assert.NilError(t, err)
	for _, l := range all {
		t.Run(l.Name, func(t *testing.T) {
			t.Parallel()
			c, truth := judge(t, l)
			want, alarm := said[l.Name]
			c.Alarms = slices.DeleteFunc(c.Alarms, func(text string) bool {
				return alarm && !regexp.MustCompile(want).MatchString(strings.ReplaceAll(text, "\n", " ")) ||
					!alarm && l.Name != "truthful"
			})
			j := l.Judge(c, truth)
			assert.Equal(t, j.Verdict, liars.Told, "%q", j.Reasons)
		})
	}
}

// The same on loopback, in real time, of a few whose verdict no slow moment of a machine changes.
func TestRun(t *testing.T) {
	few, err := liars.Select([]string{"error-body", "too-short"})
	assert.NilError(t, err)
	judged := 0
	s, err := score.Run(t.Context(), few, score.Options{Scale: 0.1,
		OnJudged: func(liars.Judgement) { judged++ }})
	assert.NilError(t, err)
	assert.Equal(t, s.String(), "the truth about 2 of 2 liars")
	assert.Equal(t, judged, 2)
}
