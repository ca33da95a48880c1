package gate_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/assert"

	"loadstone/harness/gate"
)

// bench is a file of one benchmark with two units, ten runs of each, so many times as slow.
func bench(seed uint64, slower, errorRatio float64) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	b.WriteString("Unit p50-ttft-ns better=lower\nUnit error-ratio better=lower\nUnit tok/s better=higher\n")
	for range 10 {
		v := slower * math.Exp(0.02*rng.NormFloat64())
		fmt.Fprintf(&b, "BenchmarkServe/scenario=chat 100 %.0f p50-ttft-ns %g error-ratio %.1f tok/s\n",
			20e6*v, errorRatio, 900/v)
	}
	return b.String()
}

func accepting(t *testing.T, base, head string, accepted []gate.Acceptance) *gate.Comparison {
	t.Helper()
	c, err := gate.Compare(textFile("base", base), textFile("head", head),
		gate.Options{Accepted: accepted, BaseID: gate.BaseID([]byte(base))})
	assert.NilError(t, err)
	return c
}

// verdicts are those of all cells, by unit.
func verdicts(c *gate.Comparison) map[string]gate.Verdict {
	all := map[string]gate.Verdict{}
	for i := range c.Cells {
		all[c.Cells[i].ShortUnit()] = c.Cells[i].Verdict
	}
	return all
}

// What is worse is accepted by lines that are written and read again: the same change, and another
// measurement of it, no longer fail. One that has grown beyond noise does, and so does an error
// more.
func TestAccepted(t *testing.T) {
	day := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	base := bench(1, 1, 0)
	lines := accepting(t, base, bench(2, 1.15, 0.01), nil).Accept(day, "3f0c71b2a9", `"both" checks: <twice> %`)
	assert.Equal(t, len(lines), 3)
	var file bytes.Buffer
	assert.NilError(t, gate.WriteAccepted(&file, nil, lines))
	read, err := gate.ReadAccepted(gate.File{Name: "accepted", Reader: &file})
	assert.NilError(t, err)
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-4 })
	if d := cmp.Diff(lines, read, near); d != "" {
		t.Error(d)
	}
	worse, accepted := gate.Worse, gate.Accepted
	for _, c := range []struct {
		name              string
		slower, errors    float64
		ttft, errs, speed gate.Verdict
	}{
		{"as it was", 1.15, 0.01, accepted, accepted, accepted},
		{"within noise of it", 1.17, 0.01, accepted, accepted, accepted},
		{"grown", 1.30, 0.02, worse, worse, worse},
		{"half as bad", 1.075, 0.005, accepted, accepted, accepted},
		{"well again", 1, 0, gate.Same, gate.Same, gate.Same},
	} {
		got := accepting(t, base, bench(3, c.slower, c.errors), read)
		want := map[string]gate.Verdict{"p50-ttft": c.ttft, "error-ratio": c.errs, "tok/s": c.speed}
		if d := cmp.Diff(want, verdicts(got)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		var regression *gate.Regression
		if failed := errors.As(got.Decide(), &regression); failed != (c.ttft == worse) {
			t.Errorf("%s: %v", c.name, got.Decide())
		}
		if notes := strings.Join(got.Notes, "; "); (c.ttft == gate.Same) != strings.Contains(notes,
			"p50-ttft of chat is no worse any more: its line of 2026-11-29 among what was accepted can go") {
			t.Errorf("%s: notes: %s", c.name, notes)
		}
	}
	// A baseline that was measured anew is another one, and has in it what was accepted of the last.
	fresh := bench(4, 1.15, 0.01)
	again := accepting(t, fresh, bench(5, 1.32, 0.01), read)
	assert.Equal(t, verdicts(again)["p50-ttft"], worse)
	assert.Assert(t, strings.Contains(strings.Join(again.Notes, "; "),
		"lines of another base among what was accepted, which count for nothing: 3"))
}

// How often a change that was accepted fails again though it has not grown, and one that has grown
// by ten points does, both measured anew.
func TestAcceptedRates(t *testing.T) {
	again, found := 0, 0
	const pairs = 60
	for i := range uint64(pairs) {
		base := bench(10*i, 1, 0)
		lines := accepting(t, base, bench(10*i+1, 1.1, 0), nil).Accept(time.Now(), "", "it is so")
		for _, c := range []struct {
			slower float64
			count  *int
		}{{1.1, &again}, {1.2, &found}} {
			var regression *gate.Regression
			if errors.As(accepting(t, base, bench(10*i+2, c.slower, 0), lines).Decide(), &regression) {
				*c.count++
			}
		}
	}
	t.Logf("of %d pairs %d fail again; %d that have grown fail", pairs, again, found)
	if again > 1 || found < pairs*9/10 {
		t.Errorf("of %d pairs %d fail again, want at most 1; %d that have grown fail, want %d", pairs, again,
			found, pairs*9/10)
	}
}

// A line that cannot be read is named; nothing is taken for accepted that is not.
func TestReadAcceptedMistakes(t *testing.T) {
	const good = `2026-11-29 base=measured head=- chat p50-ttft +6.2% [+4.1%,+8.3%] "why"`
	for line, want := range map[string]string{
		good: "", "# " + good: "", "": "",
		strings.Replace(good, "2026-11-29", "yesterday", 1): `"yesterday" is no date`,
		strings.Replace(good, "base=measured ", "", 1):      "want: date base=ID",
		strings.Replace(good, "base=", "bass=", 1):          "want base=ID head=COMMIT",
		strings.Replace(good, "+6.2%", "much", 1):           "is no change like",
		strings.Replace(good, "+6.2%", "+Inf", 1):           "cannot be accepted",
		strings.Replace(good, `"why"`, "why", 1):            "want: date base=ID",
		strings.Replace(good, `"why"`, `"why`, 1):           "the reason is not in quotes",
	} {
		_, err := gate.ReadAccepted(textFile("f", "\n"+line+"\n"))
		if want == "" {
			assert.NilError(t, err, line)
			continue
		}
		assert.ErrorContains(t, err, want, line)
		assert.ErrorContains(t, err, "f:2: ", line)
	}
}
