package harness

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Counters are two accounts of one run's requests, those included that its results leave out. Both are figures by name:
//
//	answered_requests                            both
//	prompt_tokens, cached_tokens, output_tokens  both; the client's are those of answered requests, as their usage says
//	requests_STATUS, rejects_REASON              the server's chat requests and refusals; those above 0
//	evictions, restores, steps                   the server's
//	cpu_seconds                                  of the server's process, user and system
//	unfinished_requests                          the client's that were neither answered nor refused: what the server has of them is open
//	inexact_answers                              the client's that ended otherwise than at a length, or have no usage: the server may have generated more
//
// What a server does not count is missing. A nil Counters is of a server that counts no requests and no tokens, or was
// restarted in between.
type Counters struct {
	Server map[string]float64 `json:"server"` // by how much its counters rose from just before the run to just after
	Client map[string]float64 `json:"client"`
}

// counters are what is kept of a server's account beside what is counted on both sides. A name that ends in _ is one for each
// value of the label.
var counters = []struct {
	name, counter, label string
	only                 []string // labels that the series must have
}{
	{"requests_", "loadstone_requests_total", "status", []string{"route", "/v1/chat/completions"}},
	{"rejects_", "loadstone_rejects_total", "reason", nil},
	{"evictions", "loadstone_evictions_total", "", nil},
	{"restores", "loadstone_restores_total", "", nil},
	{"steps", "loadstone_steps_total", "", nil},
	{"cpu_seconds", "process_cpu_seconds_total", "", nil},
}

// figure is the name of what is counted on both sides.
func figure(what string) string { return strings.ReplaceAll(what, " ", "_") }

// account is what a server has counted since its start.
func (m Metrics) account() map[string]float64 {
	account := map[string]float64{}
	for _, c := range counted {
		for _, name := range c.names {
			if v := m.Value(name[0], name[1:]...); v >= 0 {
				account[figure(c.what)] = v
				break
			}
		}
	}
	for _, c := range counters {
		for _, series := range m[c.counter].GetMetric() {
			if !labelled(series, c.only) {
				continue
			}
			name := c.name
			for _, l := range series.GetLabel() {
				if l.GetName() == c.label {
					name += l.GetValue()
				}
			}
			account[name] += series.GetCounter().GetValue() + series.GetUntyped().GetValue()
		}
	}
	return account
}

// rise is by how much an account rose, nil where there was none or it fell: its server was restarted.
func rise(before, after map[string]float64) map[string]float64 {
	if len(before) == 0 {
		return nil
	}
	for name := range before {
		if after[name] < before[name] {
			return nil
		}
	}
	rose := map[string]float64{}
	for name, v := range after {
		if v > before[name] || !strings.HasPrefix(name, "requests_") && !strings.HasPrefix(name, "rejects_") {
			rose[name] = v - before[name]
		}
	}
	return rose
}

// count looks at the server's account now, before a run. What it returns looks again, after, and sets beside it what the
// client has of the run. A server may count a request after its last byte, so it has a moment for that each time.
func (c *Client) count(ctx context.Context) (stop func(records []Record, rest *Rest) *Counters) {
	look := func(done func(now map[string]float64) bool) map[string]float64 {
		const patience = 2 * time.Second
		poll := time.NewTicker(20 * time.Millisecond)
		defer poll.Stop()
		for start := time.Now(); ; <-poll.C {
			m, _ := c.Scrape(ctx) // a nil Metrics knows no value
			if now := m.account(); len(now) == 0 || done(now) || time.Since(start) >= patience {
				return now
			}
		}
	}
	var last map[string]float64
	before := look(func(now map[string]float64) bool { // the warm-up is counted when nothing rises any more
		still := last != nil
		for _, c := range counted {
			still = still && now[figure(c.what)] == last[figure(c.what)]
		}
		last = now
		return still
	})
	return func(records []Record, rest *Rest) *Counters {
		both := &Counters{Client: clientAccount(records, rest)}
		look(func(now map[string]float64) bool {
			both.Server = rise(before, now)
			return len(both.missing()) == 0
		})
		if !slices.ContainsFunc(judged, func(name string) bool { _, ok := both.Server[name]; return ok }) {
			return nil
		}
		return both
	}
}

// clientAccount is what the client has of a run's requests.
func clientAccount(records []Record, rest *Rest) map[string]float64 {
	t := Run{Records: records, Rest: rest}.Tally()
	inexact := t.outcomes[OK]
	for i := range records {
		if r := &records[i]; r.Outcome == OK && r.Finish == "length" && r.OutputTokens >= 0 {
			inexact--
		}
	}
	account := map[string]float64{}
	for name, n := range map[string]int{"answered_requests": t.outcomes[OK], "prompt_tokens": t.promptTokens, "cached_tokens": t.cachedTokens,
		"output_tokens": t.outputTokens, "inexact_answers": inexact, "unfinished_requests": t.requests - t.outcomes[OK] - t.outcomes[Rejected]} {
		account[name] = float64(n)
	}
	return account
}

// judged are the figures in which the accounts must agree.
var judged = []string{"answered_requests", "output_tokens"}

// missing are the judged figures of which the server counted less than the client.
func (c *Counters) missing() (why []string) {
	for _, name := range judged {
		if v, ok := c.Server[name]; ok && v < c.Client[name] {
			why = append(why, c.differ(name))
		}
	}
	return why
}

func (c *Counters) differ(name string) string {
	return fmt.Sprintf("the server counted %.0f %s, and the client has %.0f", c.Server[name], strings.ReplaceAll(name, "_", " "), c.Client[name])
}

// Doubts are the reasons for which a run is invalid: the server does not count right, or answered other requests than the
// client's. Only what is open on one side may part the accounts.
func (c *Counters) Doubts() []string {
	if c == nil {
		return nil
	}
	why := c.missing()
	unfinished := c.Client["unfinished_requests"]
	most := map[string]float64{"answered_requests": c.Client["answered_requests"] + unfinished, "output_tokens": c.Client["output_tokens"]}
	if unfinished+c.Client["inexact_answers"] > 0 {
		most["output_tokens"] = math.Inf(1)
	}
	for _, name := range judged {
		if c.Server[name] > most[name] {
			why = append(why, c.differ(name)+": somebody else uses it, or it counts wrong")
		}
	}
	return why
}

// Add is these accounts and another run's together. Either may be nil.
func (c *Counters) Add(o *Counters) *Counters {
	switch {
	case c == nil:
		return o
	case o == nil:
		return c
	}
	sum := &Counters{Server: maps.Clone(c.Server), Client: maps.Clone(c.Client)}
	for name, v := range o.Server {
		sum.Server[name] += v
	}
	for name, v := range o.Client {
		sum.Client[name] += v
	}
	return sum
}
