package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/record"
)

// session lets one agent work from a time on and returns when the next in its place may begin, and
// false when there is to be none: the load is over.
func (x *execution) session(ctx context.Context, a *agent, start time.Duration) (
	over time.Duration, more bool) {
	defer a.close()
	type end struct {
		request
		record.Record
	}
	ended := make(chan end)
	running := 0
	a.over = max(a.over, start)
	for more = true; ; {
		var requests []request
		if more = more && ctx.Err() == nil; more {
			requests, more = x.requests(ctx, a, start, running)
		}
		switch {
		case len(requests) == 0 && running == 0:
			return a.over, more && ctx.Err() == nil
		case len(requests) == 1 && running == 0:
			r := x.send(ctx, &requests[0])
			a.end(requests[0], r)
			continue
		}
		for _, q := range requests {
			running++
			go func() {
				r := x.send(ctx, &q)
				ended <- end{q, r}
			}()
		}
		e := <-ended
		running--
		a.end(e.request, e.Record)
	}
}

// requests makes the requests that can begin now; false where the load is over for this agent.
func (x *execution) requests(ctx context.Context, a *agent, start time.Duration, running int) (
	requests []request, more bool) {
	calls := a.ready()
	for i := 0; i < len(calls); i++ {
		c := calls[i]
		q := request{call: c, due: a.due(c, start)}
		if !x.prompt(a, &q) {
			x.skipped.Add(1)
			a.skip(q)
			calls = append(calls, a.ready()...) // that have waited for it
			continue
		}
		if x.barrier != nil && c.Aside == 0 && len(requests)+running == 0 {
			if !x.sleep(ctx, q.due) {
				return nil, false
			}
			if start, a.round, more = x.barrier.await(); !more {
				return nil, false
			}
			q.due, q.prompt.Rep = start, a.round
		}
		if !x.admit(a, q.due) {
			return requests, false
		}
		q.prompt.Begins, q.prompt.Ends = c.ID == 0, a.drained && len(a.pending) == 0
		requests = append(requests, q)
	}
	return requests, true
}

// send sends a request when it is due. One that is not sent, since the load ends before, has no
// record.
func (x *execution) send(ctx context.Context, q *request) record.Record {
	if !x.sleep(ctx, q.due) || x.isLimited() {
		return record.Record{}
	}
	return x.ask(ctx, q)
}

// prompt makes a call the prompt that is sent: the conversation so far and what the call adds. It
// is false where the call is not to be sent, since it exceeds the server's context.
func (x *execution) prompt(a *agent, q *request) bool {
	c := q.call
	if a.begin == nil {
		a.begin = &conversation{}
		for _, m := range a.session.Begin {
			said := client.Message{Role: m.Role, Content: x.shared(m), Wire: &client.Wire{}}
			a.begin.asked = append(a.begin.asked, said)
		}
		a.fits = newFitter(x.load.Replay, x.server.size)
	}
	q.messages, q.dropped = x.messages(a, c), a.from(c).dropped
	q.prompt = client.Prompt{Place: x.placeOf(a, c), Canary: a.session.Secret,
		Messages: q.messages, MaxTokens: c.Answer, ExactTokens: c.Exact && x.server.takesExact(),
		Stop: x.load.Stop, Tools: x.load.Tools, Schema: x.load.Schema, Timeout: x.load.Timeout,
		CancelAfter: c.Cancel, CancelPieces: c.Pieces, ReadRate: c.ReadRate,
		Form: client.API(a.session.API), Fields: c.Fields}
	q.from = a.from(c).known
	if c.Tools != nil {
		q.prompt.Tools = c.Tools
	}
	if x.load.Replay.Overflow == load.Skip {
		_, fits := a.fits.fits(&q.prompt)
		return fits
	}
	a.fits.fit(&q.prompt, load.Derive(x.load.Seeds.Text, "summary "+a.session.Name), &q.dropped)
	return true
}

// placeOf is where the request of a call stands.
func (x *execution) placeOf(a *agent, c load.Call) record.Place {
	place := x.place
	place.Agent, place.Turn, place.Rep = a.name, c.Turn, a.round
	switch {
	case c.Aside > 0:
		place.Agent = fmt.Sprintf("%s:%d:%d", a.name, c.Turn, c.Aside)
	case c.Sub > 0:
		place.Agent = fmt.Sprintf("%s:s%d", a.name, c.Sub)
	}
	if x.load.Sessions == nil {
		return place
	}
	place.Call = record.Call{Session: a.session.Name, ID: c.ID, From: c.From, Sub: c.Sub,
		Pause: c.Pause, Person: c.Person, Forced: c.Exact && x.server.takesExact(),
		WasPrompt: -1, WasCached: -1, WasOutput: -1}
	if was := c.Recorded; was != nil {
		p := &place.Call
		p.WasPrompt, p.WasCached, p.WasOutput, p.WasTook = was.Prompt, was.Cached, was.Output, was.Took
	}
	return place
}

// messages is the conversation that a call sends.
func (x *execution) messages(a *agent, c load.Call) []client.Message {
	from := a.from(c)
	kept := from.asked
	if c.Keep > 0 {
		kept = kept[:min(c.Keep, len(kept))]
	}
	isReply := func(m load.Message) bool { return m.Reply }
	// The first that goes on from a whole conversation grows in its memory; any other has a copy.
	messages := slices.Clip(kept)
	if len(kept) == len(from.asked) && !from.grown {
		messages, from.grown = kept, true
	}
	if c.Keep == 0 && !slices.ContainsFunc(c.Add, isReply) {
		messages = append(messages, from.said...)
	}
	fresh := len(messages) == len(a.begin.asked)
	for _, m := range c.Add {
		said := x.message(a, m)
		if m.Reply && x.load.Replay.Served && from.answered {
			said.Content, said.Source, said.Raw = from.answer, from.source(), nil
		}
		if fresh && m.Role == "user" && a.session.Secret != "" {
			fresh = false
			said.Content = withSecret(a.session.Secret, said.Content, a.session.SecretLast)
			if said.Source != "" {
				said.Source = withSecret(a.session.Secret, said.Source, a.session.SecretLast)
			}
			said.Raw = nil
		}
		messages = append(messages, said)
	}
	return messages
}

// message is a message as it is sent. One that was recorded quotes answers in place of its text,
// and only where the server's own are wanted.
func (x *execution) message(a *agent, m load.Message) client.Message {
	said := client.Message{Role: m.Role, ToolCalls: m.ToolCalls, ToolCallID: m.ToolCallID,
		Name: m.Name, Raw: m.Raw, Wire: &client.Wire{}}
	unanswered := func(id int) bool { return !a.after[id].answered }
	switch {
	case m.Raw == nil || len(m.Quote) == 0:
	case !x.load.Replay.Served || slices.ContainsFunc(m.Quote, unanswered):
		m.Quote = nil
	default:
		m.Text, said.Raw = "", nil
	}
	said.Content = x.content(a, m, (*conversation).text)
	if len(m.Quote) > 0 {
		said.Source = x.content(a, m, (*conversation).source)
	}
	return said
}

// withSecret is an agent's first question with its secret in it, at the end where last says so.
func withSecret(secret, text string, last bool) string {
	if last {
		return text + " " + secret + " is my secret."
	}
	return secret + " is my secret. " + text
}

// content is the text of a message: the answers it quotes, as quoted has them, and what is written
// or made up.
func (x *execution) content(a *agent, m load.Message, quoted func(*conversation) string) string {
	var parts []string
	for _, id := range m.Quote {
		if c := a.after[id]; c.answered {
			parts = append(parts, quoted(c))
		}
	}
	if own := x.text(a, m); own != "" || len(parts) == 0 {
		parts = append(parts, own)
	}
	return strings.Join(parts, "\n\n")
}

// text is what a message says by itself. Where a is given, it keeps the words, for a recorded
// session says the same ones again and again.
func (x *execution) text(a *agent, m load.Message) string {
	words := make([]string, 0, len(m.Words)+1)
	if m.Text != "" {
		words = append(words, m.Text)
	}
	for _, w := range m.Words {
		n := x.server.size.more(w.Tokens)
		if w.Whole {
			n = x.server.size.words(w.Tokens)
		}
		if a == nil || x.load.Sessions == nil {
			words = append(words, load.Text(w.Seed, n))
			continue
		}
		text, ok := a.made[w]
		if !ok {
			text = load.Text(w.Seed, n)
			a.made[w] = text
		}
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

// shared is the text of a message that many agents share, made once.
func (x *execution) shared(m load.Message) string {
	if len(m.Words) == 0 {
		return m.Text
	}
	if text, ok := x.texts.Load(m.Words[0]); ok {
		return text.(string)
	}
	text, _ := x.texts.LoadOrStore(m.Words[0], x.text(nil, m))
	return text.(string)
}
