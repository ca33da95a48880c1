package record

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// A Count is the name of a figure that a server or a client counts, as results.json has it.
type Count string

// The counts that both sides have. The client's tokens are those of answered requests, as their
// usage says.
const (
	AnsweredRequests Count = "answered_requests"
	PromptTokens     Count = "prompt_tokens"
	CachedTokens     Count = "cached_tokens"
	OutputTokens     Count = "output_tokens"
)

// The counts that only a server has. RequestsByStatus and RejectsByReason are the beginnings of
// names that end in a status of HTTP, such as requests_429, or in a reason.
const (
	RequestsByStatus Count = "requests_" // chat requests
	RejectsByReason  Count = "rejects_"
	Evictions        Count = "evictions" // of blocks
	Restores         Count = "restores"  // of agents' memories, from disk
	Steps            Count = "steps"     // of the model
	CPUSeconds       Count = "cpu_seconds"
)

// The counts that only the client has: requests of which the server may have counted more than the
// client knows.
const (
	// UnfinishedRequests were neither answered nor refused, so that it is open what the server has
	// counted of them.
	UnfinishedRequests Count = "unfinished_requests"
	// InexactAnswers ended otherwise than at a length, or have no usage, so that the server may
	// have generated more tokens than they show.
	InexactAnswers Count = "inexact_answers"
)

// Shared are the counts that both sides have.
var Shared = [4]Count{AnsweredRequests, PromptTokens, CachedTokens, OutputTokens}

// Counters are two accounts of one run's requests, those included that its results leave out. What
// a server does not count is missing. A nil Counters is that of a server that counts neither
// requests nor tokens, or that was restarted during the run.
type Counters struct {
	Server Account `json:"server"` // the rise of its counters, from just before to just after
	Client Account `json:"client"`
}

// Count is by how much a count of the server's rose; false where it does not keep that count.
func (c *Counters) Count(name Count) (float64, bool) {
	if c == nil {
		return 0, false
	}
	v, ok := c.Server[name]
	return v, ok
}

// An Account is what one side has counted. Of the counts by status and reason it holds those above
// 0.
type Account map[Count]float64

// Settled reports whether none of the shared counts has risen since an earlier look.
func (a Account) Settled(earlier Account) bool {
	for _, name := range Shared {
		if a[name] != earlier[name] {
			return false
		}
	}
	return true
}

// rise is by how much an account rose. It is nil where there was none before, or where a count
// fell: then the server was restarted.
func rise(before, after Account) Account {
	if len(before) == 0 {
		return nil
	}
	for name := range before {
		if after[name] < before[name] {
			return nil
		}
	}
	rise := Account{}
	for name, v := range after {
		if v > before[name] || !name.split() {
			rise[name] = v - before[name]
		}
	}
	return rise
}

// split reports whether the count is one of several by status or reason.
func (c Count) split() bool {
	return strings.HasPrefix(string(c), string(RequestsByStatus)) ||
		strings.HasPrefix(string(c), string(RejectsByReason))
}

// Compare puts the rise of a server's account beside the client's account of the same time. It is
// nil where the server counts none of what is compared, or was restarted.
func Compare(before, after, client Account) *Counters {
	c := &Counters{Server: rise(before, after), Client: client}
	counts := func(name Count) bool { _, ok := c.Server[name]; return ok }
	if !slices.ContainsFunc(compared, counts) {
		return nil
	}
	return c
}

// ClientAccount is the client's account of a run's requests.
func ClientAccount(records []Record, rest *Rest) Account {
	t := Run{Records: records, Rest: rest}.Tally()
	answered := t.outcomes[OK] + t.outcomes[Empty] // a server counts what it has ended
	inexact := answered
	for i := range records {
		if r := &records[i]; r.Ended() && r.Finish == "length" && r.OutputTokens >= 0 {
			inexact--
		}
	}
	unfinished := t.requests - answered - t.outcomes[Rejected]
	return Account{
		AnsweredRequests:   float64(answered),
		PromptTokens:       float64(t.promptTokens + t.empty.prompt),
		CachedTokens:       float64(t.cachedTokens + t.empty.cached),
		OutputTokens:       float64(t.outputTokens + t.empty.output),
		InexactAnswers:     float64(inexact),
		UnfinishedRequests: float64(unfinished),
	}
}

// compared are the counts in which the accounts must agree.
var compared = []Count{AnsweredRequests, OutputTokens}

// Missing lists, in words, the compared counts of which the server has fewer than the client.
func (c *Counters) Missing() (reasons []string) {
	if c == nil {
		return nil
	}
	for _, name := range compared {
		if v, ok := c.Server[name]; ok && v < c.Client[name] {
			reasons = append(reasons, c.difference(name))
		}
	}
	return reasons
}

func (c *Counters) difference(name Count) string {
	return fmt.Sprintf("the server counted %.0f %s, and the client has %.0f", c.Server[name],
		strings.ReplaceAll(string(name), "_", " "), c.Client[name])
}

// WhyInvalid lists the reasons why the run is invalid: the server does not count right, or it
// answered other requests than the client's. The accounts may differ only by requests of which one
// side does not know the end.
func (c *Counters) WhyInvalid() []string {
	if c == nil {
		return nil
	}
	reasons := c.Missing()
	unfinished := c.Client[UnfinishedRequests]
	limits := Account{
		AnsweredRequests: c.Client[AnsweredRequests] + unfinished,
		OutputTokens:     c.Client[OutputTokens],
	}
	if unfinished+c.Client[InexactAnswers] > 0 {
		limits[OutputTokens] = math.Inf(1)
	}
	for _, name := range compared {
		if c.Server[name] > limits[name] {
			reasons = append(reasons,
				c.difference(name)+": somebody else uses it, or it counts wrong")
		}
	}
	return reasons
}

// Add is the sum of these accounts and another run's. Either may be nil.
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
