package liars

import (
	"fmt"
	"slices"
	"time"
)

// A Liar is a server that lies in one way, and what a truthful tool must report of it.
type Liar struct {
	Name  string `json:"name"`
	Lie   string `json:"lie"`   // what the server does
	Truth string `json:"truth"` // what a truthful tool reports
	Load  Load   `json:"load"`  // under which the lie shows

	// Bounds are the figures that the lie is about. Of those that a tool reports, each must be the
	// server's own figure.
	Bounds []Bound `json:"bounds,omitempty"`
	// Alarm says that no figure shows the lie: the tool must say in words that something is wrong.
	Alarm bool `json:"alarm,omitempty"`
	// Refusable says that a tool may also call every answer an error: they do not follow the API.
	Refusable bool `json:"refusable,omitempty"`

	says func(r *reply) // changes what the server answers
	wire func(r *reply) // changes how it is sent

	// These lies are not in single answers.
	pauses    bool // the server stands still again and again
	drifts    bool // it becomes slower
	accepts   bool // it waits before it takes a connection
	leaks     bool // cancelled requests run on
	undercuts bool // its metrics count half of the tokens
	shares    bool // principals share a cache
	remembers bool // a prompt that was asked before is answered from a cache
}

// A Load is how a tool is to load the server.
type Load struct {
	Requests    int     `json:"requests,omitempty"`
	Concurrency int     `json:"concurrency,omitempty"` // a closed loop of so many; or
	Rate        float64 `json:"rate,omitempty"`        // an open loop of so many a second, at scale 1
	Rounds      int     `json:"rounds,omitempty"`      // the whole again and again; the last counts

	Restart bool `json:"restart,omitempty"` // the server is restarted (POST /liar/restart)
	Keys    bool `json:"keys,omitempty"`    // two principals ask
}

// AnswerTokens is the number of tokens that every request asks for.
const AnswerTokens = 32

// The loads of the liars.
var (
	usual  = Load{Requests: 40, Concurrency: 4}
	long   = Load{Requests: 160, Concurrency: 4}
	open   = Load{Requests: 128, Rate: 8}
	twice  = Load{Requests: 40, Concurrency: 4, Rounds: 2}
	again  = Load{Requests: 40, Concurrency: 4, Restart: true}
	byKeys = Load{Requests: 40, Concurrency: 4, Keys: true}
)

// A Bound is how far a tool's figure may be from the truth: the larger of a share of the truth and
// an absolute difference in the figure's unit. Absolute times are at scale 1.
type Bound struct {
	Figure Figure  `json:"figure"`
	Share  float64 `json:"share,omitempty"`
	Abs    float64 `json:"abs,omitempty"`
}

// Holds reports whether a claim is the truth, of a server with so much of the usual times.
func (b Bound) Holds(claim, truth, scale float64) bool {
	abs := b.Abs
	if b.Figure.isTime() {
		abs *= scale
	}
	return max(claim-truth, truth-claim) <= max(abs, b.Share*truth)
}

func (b Bound) String() string {
	switch {
	case b.Figure.isTime():
		return fmt.Sprintf("%s within %v or %.0f %%", b.Figure,
			time.Duration(b.Abs*float64(time.Second)), 100*b.Share)
	case b.Share == 0:
		return fmt.Sprintf("%s within %g", b.Figure, b.Abs)
	}
	return fmt.Sprintf("%s within %.0f %%", b.Figure, 100*b.Share)
}

// Truthful is the server that tells no lie. A tool that raises an alarm about it, or reports
// another figure than the truth, is wrong.
func Truthful() *Liar {
	return &Liar{Name: "truthful", Lie: "nothing: it is the control",
		Truth:  "the figures as they are, and no alarm",
		Load:   usual,
		Bounds: []Bound{ttft, tpot, e2e, tokens, unanswered, hits},
	}
}

// Find returns the liar of that name, the truthful server included.
func Find(name string) (*Liar, error) {
	for _, l := range append([]*Liar{Truthful()}, All()...) {
		if l.Name == name {
			return l, nil
		}
	}
	return nil, fmt.Errorf("there is no liar %q; want one of truthful, %s", name, names())
}

func names() string {
	text := ""
	for i, l := range All() {
		if i > 0 {
			text += ", "
		}
		text += l.Name
	}
	return text
}

// Select returns the liars of the names, the truthful server included, and all of them where there
// are no names.
func Select(wanted []string) ([]*Liar, error) {
	all := append([]*Liar{Truthful()}, All()...)
	if len(wanted) == 0 {
		return all, nil
	}
	for _, name := range wanted {
		if _, err := Find(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(l *Liar) bool { return !slices.Contains(wanted, l.Name) }), nil
}
