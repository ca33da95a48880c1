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
			a.end(requests[0], x.send(ctx, requests[0]))
			continue
		}
		for _, q := range requests {
			running++
			go func() { ended <- end{q, x.send(ctx, q)} }()
		}
		e := <-ended
		running--
		a.end(e.request, e.Record)
	}
}

// requests makes the requests that can begin now; false where the load is over for this agent.
func (x *execution) requests(ctx context.Context, a *agent, start time.Duration, running int) (
	requests []request, more bool) {
	for i, c := range a.ready() {
		q := request{call: c, due: a.due(c, start)}
		if x.barrier != nil && c.Aside == 0 && i+running == 0 {
			if !x.sleep(ctx, q.due) {
				return nil, false
			}
			if start, a.round, more = x.barrier.await(); !more {
				return nil, false
			}
			q.due = start
		}
		if !x.admit(q.due) {
			return requests, false
		}
		x.prompt(a, &q)
		requests = append(requests, q)
	}
	return requests, true
}

// send sends a request when it is due. One that is not sent, since the load ends before, has no
// record.
func (x *execution) send(ctx context.Context, q request) record.Record {
	if !x.sleep(ctx, q.due) || x.isLimited() {
		return record.Record{}
	}
	return x.ask(ctx, q.due, q.prompt)
}

// prompt makes a call the prompt that is sent: the conversation so far and what the call adds.
func (x *execution) prompt(a *agent, q *request) {
	c := q.call
	if a.begin == nil {
		a.begin = &conversation{}
		for _, m := range a.session.Begin {
			said := client.Message{Role: m.Role, Content: x.shared(m)}
			a.begin.messages = append(a.begin.messages, said)
		}
	}
	from := a.from(c)
	messages := from.messages
	if q.inPlace = c.Aside == 0 && !from.extended; q.inPlace {
		from.extended = true
	} else {
		messages = slices.Clip(messages)
	}
	fresh := len(messages) == len(a.begin.messages)
	for _, m := range c.Add {
		text := x.content(a, m)
		if fresh && m.Role == "user" && a.session.Secret != "" {
			fresh = false
			text = withSecret(a.session.Secret, text, a.session.SecretLast)
		}
		messages = append(messages, client.Message{Role: m.Role, Content: text})
	}
	place := x.place
	place.Agent, place.Turn, place.Rep = a.name, c.Turn, a.round
	if c.Aside > 0 {
		place.Agent = fmt.Sprintf("%s:%d:%d", a.name, c.Turn, c.Aside)
	}
	q.prompt = client.Prompt{Place: place, Canary: a.session.Secret,
		Messages: slices.Clip(messages), MaxTokens: c.Answer,
		Stop: x.load.Stop, Tools: x.load.Tools, Timeout: x.load.Timeout,
		CancelAfter: c.Cancel, CancelPieces: c.Pieces, ReadRate: c.ReadRate}
}

// withSecret is an agent's first question with its secret in it, at the end where last says so.
func withSecret(secret, text string, last bool) string {
	if last {
		return text + " " + secret + " is my secret."
	}
	return secret + " is my secret. " + text
}

// content is the text of a message: the answers it quotes, and what is written or made up.
func (x *execution) content(a *agent, m load.Message) string {
	var parts []string
	for _, id := range m.Quote {
		if c := a.after[id]; c.answered {
			parts = append(parts, c.answer)
		}
	}
	return strings.Join(append(parts, x.text(m)), "\n\n")
}

// text is what a message says by itself.
func (x *execution) text(m load.Message) string {
	words := make([]string, 0, len(m.Words)+1)
	if m.Text != "" {
		words = append(words, m.Text)
	}
	for _, w := range m.Words {
		n := x.server.size.more(w.Tokens)
		if w.Whole {
			n = x.server.size.words(w.Tokens)
		}
		words = append(words, load.Text(w.Seed, n))
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
	text, _ := x.texts.LoadOrStore(m.Words[0], x.text(m))
	return text.(string)
}
