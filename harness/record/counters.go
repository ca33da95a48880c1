package record

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
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
	Server Account `json:"server"` // by how much its counters rose from just before the run to just after
	Client Account `json:"client"`
}

// An Account is what one side has counted, by the names of Counters.
type Account map[string]float64

// Counted are the figures of an account that both sides have.
var Counted = [4]string{"answered_requests", "prompt_tokens", "cached_tokens", "output_tokens"}

// Settled tells whether nothing that both sides count has risen since the last look.
func (a Account) Settled(last Account) bool {
	for _, name := range Counted {
		if a[name] != last[name] {
			return false
		}
	}
	return true
}

// rise is by how much an account rose, nil where there was none or it fell: its server was restarted.
func rise(before, after Account) Account {
	if len(before) == 0 {
		return nil
	}
	for name := range before {
		if after[name] < before[name] {
			return nil
		}
	}
	rose := Account{}
	for name, v := range after {
		if v > before[name] || !strings.HasPrefix(name, "requests_") && !strings.HasPrefix(name, "rejects_") {
			rose[name] = v - before[name]
		}
	}
	return rose
}

// Compare sets the rise of a server's account beside the client's of the same time. It is nil where the server does not count
// what is judged, or was restarted.
func Compare(before, after, client Account) *Counters {
	c := &Counters{Server: rise(before, after), Client: client}
	if !slices.ContainsFunc(judged, func(name string) bool { _, ok := c.Server[name]; return ok }) {
		return nil
	}
	return c
}

// ClientAccount is what the client has of a run's requests.
func ClientAccount(records []Record, rest *Rest) Account {
	t := Run{Records: records, Rest: rest}.Tally()
	inexact := t.outcomes[OK]
	for i := range records {
		if r := &records[i]; r.Outcome == OK && r.Finish == "length" && r.OutputTokens >= 0 {
			inexact--
		}
	}
	account := Account{}
	for name, n := range map[string]int{"answered_requests": t.outcomes[OK], "prompt_tokens": t.promptTokens, "cached_tokens": t.cachedTokens,
		"output_tokens": t.outputTokens, "inexact_answers": inexact, "unfinished_requests": t.requests - t.outcomes[OK] - t.outcomes[Rejected]} {
		account[name] = float64(n)
	}
	return account
}

// judged are the figures in which the accounts must agree.
var judged = []string{"answered_requests", "output_tokens"}

// Missing are the judged figures of which the server counted less than the client.
func (c *Counters) Missing() (why []string) {
	if c == nil {
		return nil
	}
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
	why := c.Missing()
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
