package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// An Isolation finds out whether one principal of a server learns anything of another: by names and
// ids, by counts of cached tokens, and by the time to the first token. A server whose answers to B
// are the same whatever A has sent passes.
//
// The timing check sends prompts in pairs, each of random words. Of one prompt A has sent the very
// same just before B does; of the other A has sent another. The order within a pair is drawn. So
// everything but what B's prompt has in common with A's is alike in both, and how long B waits
// tells nothing if the server keeps them apart.
type Isolation struct {
	A, B      *client.Client // of one server, with the keys of two principals
	Probes    int            // prompts of B whose time to first token is compared, an even number
	Words     int            // of a prompt, roughly
	MaxTokens int            // of an answer
	Seed      uint64

	// OnStep, unless nil, is called before each step.
	OnStep func(Step)
}

// The checks of an Isolation, in the order in which their findings come.
const (
	Own      Check = "own"      // a principal finds the prefix that it has sent itself
	Prefix   Check = "prefix"   // and not one that another has sent, as cached_tokens tell
	Agents   Check = "agents"   // another's agents are like nobody's, on every route
	Stored   Check = "stored"   // and so are its stored responses
	Metrics  Check = "metrics"  // what a principal may read of the server names no other's agent
	Contents Check = "contents" // no answer to B has A's secret
	Timing   Check = "timing"   // the time to the first token does not tell what another has sent
)

// The steps of an Isolation.
const (
	StepNames StepName = "names" // B asks for what is A's
	StepOwn   StepName = "own"   // A asks its own prompts again
	StepProbe StepName = "probe" // B asks prompts that A has or has not sent
)

// Alarm is the significance at which the timing check fails: of a thousand checks of servers that
// keep principals apart, one raises an alarm.
const Alarm = 0.001

// A Leak is what the times to first token tell.
type Leak struct {
	stats.Separation     // in milliseconds; first the prompts that A has sent
	Failed           int // probes without an answer, whose pairs are left out
}

// perThousand returns the bits that a thousand probes tell, at least, with an interval of 95 %.
func (l *Leak) perThousand() (bits, lo, hi float64) {
	return 1000 * l.Bits, 1000 * l.BitsLo, 1000 * l.BitsHi
}

// isolator is an Isolation under way.
type isolator struct {
	Isolation
	findings []Finding
	asked    uint64 // prompts so far
	rng      *rand.Rand

	secrets  []string           // A's
	contents []record.Violation // answers of B's with one of them
}

// Run carries the check out. The error is that it could not be carried out: the server is gone, or
// does not answer one of the two.
func (i Isolation) Run(ctx context.Context) ([]Finding, error) {
	if i.A.Key == i.B.Key {
		return nil, ErrSamePrincipal
	}
	x := &isolator{Isolation: i, rng: rand.New(rand.NewPCG(i.Seed, 0x150a7e))}
	for _, c := range []*client.Client{i.A, i.B} {
		if r := c.Ask(ctx, c.Since(), x.prompt()); !answered(&r) {
			return nil, fmt.Errorf("the server does not answer one of the two principals: %s: %s",
				r.Outcome, r.Error)
		}
	}
	x.begin(StepNames, "what is one principal's is asked for by the other")
	if err := x.names(ctx); err != nil {
		return x.findings, err
	}
	x.begin(StepOwn, "a principal asks its own prompts again")
	if err := x.own(ctx); err != nil {
		return x.findings, err
	}
	x.begin(StepProbe, "%d prompts that the other principal has or has not sent", x.Probes)
	if err := x.probe(ctx); err != nil {
		return x.findings, err
	}
	x.found(Contents, x.contents, "no answer to one principal has a secret of the other")
	return x.findings, nil
}

func (x *isolator) begin(name StepName, about string, args ...any) {
	if x.OnStep != nil {
		x.OnStep(Step{name, fmt.Sprintf(about, args...)})
	}
}

func (x *isolator) found(name Check, violations []record.Violation, about string, args ...any) {
	x.findings = append(x.findings, finding(name, violations, fmt.Sprintf(about, args...)))
}

func (x *isolator) unknown(name Check, why string) {
	x.findings = append(x.findings, Finding{Name: name, Verdict: Unknown, About: why})
}

// prompt returns a prompt that nobody has sent yet, without an agent.
func (x *isolator) prompt() client.Prompt {
	x.asked++
	return harness.NewConversation("", x.Seed<<20+x.asked).Ask(x.Words, x.MaxTokens)
}

func answered(r *record.Record) bool { return r.Outcome == record.OK || r.Outcome == record.Empty }

// maxRefusals is how often one prompt is sent again because the server refused it for now.
const maxRefusals = 20

// ask sends a prompt, and again after as long as the server asks to wait if it refuses it.
func (x *isolator) ask(ctx context.Context, c *client.Client, p client.Prompt) record.Record {
	for n := 0; ; n++ {
		r := c.Ask(ctx, c.Since(), p)
		if c == x.A {
			x.secrets = append(x.secrets, p.Canary)
		} else {
			x.look(&r)
		}
		if r.Outcome != record.Rejected || n == maxRefusals {
			return r
		}
		select {
		case <-time.After(max(r.RetryAfter, 100*time.Millisecond)):
		case <-ctx.Done():
			return r
		}
	}
}

// look looks for A's secrets in an answer to B, which has not been sent them, but for the prompts
// that B sent as A did.
func (x *isolator) look(r *record.Record) {
	for _, s := range x.secrets {
		if s != r.Canary && s != "" && strings.Contains(r.Answer+r.Thought+r.Calls+r.Error, s) {
			x.contents = append(x.contents, record.Violation{Check: record.CheckLeak,
				About: "an answer to one principal has a secret that only the other has sent"})
			return
		}
	}
}

// wait returns how long the first token took, in milliseconds.
func wait(r *record.Record) float64 {
	at := r.FirstContent
	if at < 0 {
		at = r.End // an answer without a token
	}
	return float64(at-r.Sent) / float64(time.Millisecond)
}

// own finds out whether the server has a cache of prefixes at all.
func (x *isolator) own(ctx context.Context) error {
	const tries = 12
	reported, hits := false, 0
	var first, again []float64
	for range tries {
		p := x.prompt()
		a, b := x.ask(ctx, x.A, p), x.ask(ctx, x.A, p)
		if err := ctx.Err(); err != nil {
			return err
		}
		if !answered(&a) || !answered(&b) {
			continue
		}
		reported = reported || b.CachedTokens >= 0
		if b.CachedTokens > max(a.CachedTokens, 0) {
			hits++
		}
		first, again = append(first, wait(&a)), append(again, wait(&b))
	}
	s := stats.Separate(first, again)
	switch {
	case hits > 0:
		x.found(Own, nil, "the principal itself finds %d of %d prompts again, and waits %.1f ms less "+
			"for the first token", hits, tries, -s.Shift)
	case !reported && s.P < 0.01 && s.Shift < 0:
		x.found(Own, nil, "the principal itself waits %.1f ms less when it asks again; the server "+
			"does not report cached tokens", -s.Shift)
	default:
		x.unknown(Own, "the principal does not find its own prompts either: where nothing is reused, "+
			"there is nothing to keep apart")
	}
	return nil
}

// probe compares what B finds of prompts that A has sent and of others.
func (x *isolator) probe(ctx context.Context) error {
	var leak Leak
	var sent, unsent []float64
	maxSent, maxUnsent, reported := 0, 0, false
	for range x.Probes / 2 {
		var pair [2]record.Record
		order := x.rng.Perm(2)
		for _, kind := range order {
			p := x.prompt()
			x.ask(ctx, x.A, p)
			if kind == 1 { // what A sent was another
				p = x.prompt()
			}
			pair[kind] = x.ask(ctx, x.B, p)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		reported = reported || pair[0].CachedTokens >= 0
		if !answered(&pair[0]) || !answered(&pair[1]) {
			leak.Failed++
			continue
		}
		maxSent = max(maxSent, pair[0].CachedTokens)
		maxUnsent = max(maxUnsent, pair[1].CachedTokens)
		sent, unsent = append(sent, wait(&pair[0])), append(unsent, wait(&pair[1]))
	}
	x.judgeCounts(reported, maxSent, maxUnsent, len(sent))
	if len(sent) < x.Probes/4 {
		x.unknown(Timing, fmt.Sprintf("%d of %d probes got no answer", leak.Failed, x.Probes/2))
		return nil
	}
	leak.Separation = stats.Separate(sent, unsent)
	x.judgeTimes(&leak)
	return nil
}

func (x *isolator) judgeCounts(reported bool, maxSent, maxUnsent, pairs int) {
	if !reported {
		x.unknown(Prefix, "the server's usage has no cached_tokens")
		return
	}
	var violations []record.Violation
	if maxSent > maxUnsent {
		violations = append(violations, record.Violation{Check: record.CheckCache,
			About: fmt.Sprintf("%d tokens of a prompt are cached that only the other principal had "+
				"sent, and %d of one that nobody had", maxSent, maxUnsent)})
	}
	x.found(Prefix, violations, "of %d prompts that the other principal had sent, no more was cached "+
		"than of others", pairs)
}

// judgeTimes reports whether the times can be told apart.
func (x *isolator) judgeTimes(l *Leak) {
	bits, lo, hi := l.perThousand()
	about := fmt.Sprintf("a thousand probes tell %.0f bits (%.0f to %.0f) of what the other has "+
		"sent; its prompts and others differ by %.2f ms (%.2f to %.2f) in median, p = %.2g, %d pairs",
		bits, lo, hi, l.Shift, l.ShiftLo, l.ShiftHi, l.P, l.N)
	f := Finding{Name: Timing, Verdict: Passed, About: about, Leak: l}
	if l.P < Alarm {
		f.Verdict = Broken
		f.Violations = []record.Violation{{Check: record.CheckTimes, About: about}}
	}
	x.findings = append(x.findings, f)
}

// send sends a request that is no prompt.
func (x *isolator) send(ctx context.Context, c *client.Client,
	method, path, body string) (client.Reply, error) {
	return c.Do(ctx, method, path, []byte(body))
}

// names asks for A's agents and responses with B's key.
func (x *isolator) names(ctx context.Context) error {
	if err := x.agents(ctx); err != nil {
		return err
	}
	return x.stored(ctx)
}

// leak is the violation that B learns something of A.
func leak(about string) record.Violation {
	return record.Violation{Check: record.CheckLeak, About: about}
}

// alike compares what B gets for what is A's with what it gets for what is nobody's.
func (x *isolator) alike(ctx context.Context, what, hers, nobodys string,
	request func(name string) (method, path, body string)) ([]record.Violation, error) {
	var got [2]client.Reply
	for i, name := range []string{hers, nobodys} {
		method, path, body := request(name)
		r, err := x.send(ctx, x.B, method, path, body)
		if err != nil {
			return nil, err
		}
		r.Body = bytes.ReplaceAll(r.Body, []byte(name), []byte("NAME"))
		got[i] = r
	}
	if got[0].Status == got[1].Status && bytes.Equal(got[0].Body, got[1].Body) {
		return nil, nil
	}
	return []record.Violation{leak(fmt.Sprintf("%s: what is the other principal's gets %d and %d "+
		"bytes, what is nobody's %d and %d", what, got[0].Status, len(got[0].Body), got[1].Status,
		len(got[1].Body)))}, nil
}

func (x *isolator) agents(ctx context.Context) error {
	hers, nobodys := fmt.Sprintf("isolation-%d-a", x.Seed), fmt.Sprintf("isolation-%d-b", x.Seed)
	p := x.prompt()
	p.Agent = hers
	r := x.ask(ctx, x.A, p)
	if err := ctx.Err(); err != nil {
		return err
	}
	own, err := x.send(ctx, x.A, http.MethodGet, "/v1/agents/"+hers, "")
	if err != nil {
		return err
	}
	if !answered(&r) || own.Status != http.StatusOK {
		x.unknown(Agents, "the server has no agents at /v1/agents")
		x.unknown(Metrics, "nor names of theirs")
		return nil
	}
	var violations []record.Violation
	list, err := x.send(ctx, x.B, http.MethodGet, "/v1/agents", "")
	if err != nil {
		return err
	}
	if bytes.Contains(list.Body, []byte(hers)) {
		violations = append(violations, leak("the list of agents has one of the other principal's"))
	}
	for _, route := range []struct{ method, tail string }{
		{"GET", ""}, {"GET", "/export"}, {"POST", "/pin"}, {"POST", "/unpin"}, {"POST", "/generate"},
		{"DELETE", ""},
	} {
		what := route.method + " /v1/agents/ID" + route.tail
		v, err := x.alike(ctx, what, hers, nobodys, func(name string) (string, string, string) {
			return route.method, "/v1/agents/" + name + route.tail, `{"messages":[]}`
		})
		if err != nil {
			return err
		}
		violations = append(violations, v...)
	}
	// An agent of the same name is another one.
	q := p
	b := x.ask(ctx, x.B, q)
	if answered(&b) && b.CachedTokens > 0 {
		violations = append(violations, record.Violation{Check: record.CheckCache,
			About: fmt.Sprintf("an agent of the same name finds %d tokens of the other principal's",
				b.CachedTokens)})
	}
	after, err := x.send(ctx, x.A, http.MethodGet, "/v1/agents/"+hers, "")
	if err != nil || after.Status != http.StatusOK {
		violations = append(violations, leak("the other principal has deleted an agent"))
	}
	x.found(Agents, violations, "another principal's agent is like nobody's, on 7 routes")
	x.send(ctx, x.A, http.MethodDelete, "/v1/agents/"+hers, "")
	x.send(ctx, x.B, http.MethodDelete, "/v1/agents/"+hers, "")
	return x.metrics(ctx)
}

// metrics looks for the name of an agent of A's in what B may read of the server.
func (x *isolator) metrics(ctx context.Context) error {
	name := fmt.Sprintf("isolation-%d-m", x.Seed)
	p := x.prompt()
	p.Agent = name
	x.ask(ctx, x.A, p)
	var violations []record.Violation
	for range 2 { // the status page has the list that it asked for the time before
		for _, path := range []string{"/metrics", "/admin/status", "/health", "/v1/models",
			"/slots", "/props"} {
			r, err := x.send(ctx, x.B, http.MethodGet, path, "")
			if err != nil {
				return err
			}
			if bytes.Contains(r.Body, []byte(name)) || bytes.Contains(r.Body, []byte(p.Canary)) {
				violations = append(violations,
					leak(path+" names an agent, or has a prompt, of the other principal's"))
			}
		}
		if len(violations) > 0 {
			break
		}
	}
	x.found(Metrics, violations, "6 routes that tell of the server name no agent of another "+
		"principal's")
	x.send(ctx, x.A, http.MethodDelete, "/v1/agents/"+name, "")
	return nil
}

func (x *isolator) stored(ctx context.Context) error {
	p := x.prompt()
	made, err := x.send(ctx, x.A, http.MethodPost, "/v1/responses",
		fmt.Sprintf(`{"model":%q,"input":%q,"max_output_tokens":%d}`, x.A.Model,
			p.Messages[0].Content, max(16, x.MaxTokens)))
	if err != nil {
		return err
	}
	id := responseID(made.Body)
	if made.Status != http.StatusOK || id == "" {
		x.unknown(Stored, "the server stores no responses at /v1/responses")
		return nil
	}
	own, err := x.send(ctx, x.A, http.MethodGet, "/v1/responses/"+id, "")
	if err != nil || own.Status != http.StatusOK {
		x.unknown(Stored, "the server stores no responses at /v1/responses")
		return err
	}
	nobodys := id[:len(id)-1] + string(other(id[len(id)-1]))
	var violations []record.Violation
	for _, route := range []struct{ method, path, body string }{
		{"GET", "/v1/responses/ID", ""}, {"GET", "/v1/responses/ID/input_items", ""},
		{"POST", "/v1/responses/ID/cancel", ""},
		{"POST", "/v1/responses", fmt.Sprintf(
			`{"model":%q,"input":"x","previous_response_id":"ID","max_output_tokens":16}`, x.B.Model)},
		{"DELETE", "/v1/responses/ID", ""},
	} {
		what := route.method + " " + route.path
		v, err := x.alike(ctx, what, id, nobodys, func(name string) (string, string, string) {
			named := func(text string) string { return strings.ReplaceAll(text, "ID", name) }
			return route.method, named(route.path), named(route.body)
		})
		if err != nil {
			return err
		}
		violations = append(violations, v...)
	}
	x.found(Stored, violations, "another principal's stored response is like nobody's, on 5 routes")
	_, err = x.send(ctx, x.A, http.MethodDelete, "/v1/responses/"+id, "")
	return err
}

// responseID finds the id of a response in its body.
func responseID(body []byte) string {
	_, rest, ok := bytes.Cut(body, []byte(`"resp_`))
	if !ok {
		return ""
	}
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return "resp_" + string(id)
}

// other returns another letter than c that can stand in an id.
func other(c byte) byte {
	if c == 'A' {
		return 'B'
	}
	return 'A'
}

// ErrSamePrincipal says that two keys are one.
var ErrSamePrincipal = errors.New("the two keys are the same: they are of one principal")
