package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A turn is a request for an answer and what came of it.
type turn struct {
	*call
	*question
	client  *client
	prompts [][]int32 // that the server may have made of it, as far as is known
	prompt  []int32   // the one of them that leaves the shortest memory
	wants   []answer  // to that
	want    answer    // the first, with which the conversation goes on
	own     int       // its number among what the principal has sent
	sent    int       // how much it had sent then
	durable bool
	before  agent // as it was known when the request began

	reply *reply // nil: the answer has no body
}

// expect notes that the server has made a prompt of the question, and what it must answer. Of
// several answers each has a seed of its own.
func (t *turn) expect(o *oracle, prompt []int32) {
	t.prompt, t.wants = prompt, nil
	for i := range t.choices {
		how := t.manner
		how.seed += int64(i)
		t.wants = append(t.wants, o.answer(prompt, how).until(t.stops))
	}
	t.want = t.wants[0]
	if a := t.client.agent; a != nil && t.tool && isCall(t.want.text) {
		a.noteCall(madeCall{t.salt, t.want.text})
	}
}

// settle finds out which of its prompts the server may have made, from what has come. An answer may
// fit several, of other lengths: a stream without the usage does not say how long its prompt is.
func (t *turn) settle() {
	shortest, shortestLeft := t.prompts[0], 0
	var fit [][]int32
	for _, p := range t.prompts {
		if t.expect(t.world.oracle, p); t.fits() != "" {
			continue
		}
		if left := t.leaves(); fit == nil || left < shortestLeft {
			shortest, shortestLeft = p, left
		}
		fit = append(fit, p)
	}
	if fit != nil {
		t.prompts = fit
	}
	t.expect(t.world.oracle, shortest)
}

// leaves returns how many tokens with KV a complete answer leaves at least. Tokens that a rule has
// forced upon the answer stay uncomputed at its end: see the engine's format of memories, which has
// as many as this.
func (t *turn) leaves() int {
	uncomputed := 1
	if t.tool {
		uncomputed = min(16, len(t.want.tokens))
	}
	return len(t.prompt) + len(t.want.tokens) - uncomputed
}

// check holds a turn to what must be: it has one end, and what came is the oracle's. It reports
// whether the answer is complete.
func (t *turn) check() bool {
	w := t.world
	if t.status == 0 {
		w.excuse(t.call)
		return false
	}
	if t.status != http.StatusOK {
		if t.err != nil {
			w.excuse(t.call)
			return false
		}
		t.reply = parseReply(t.body, false)
		if t.after != nil && t.reply.code == "previous_response_not_found" {
			t.client.lost(t.after)
			return false
		}
		notFound := t.api == "generate" && (t.before.exists != yes || t.client.loose() ||
			t.client.agent.clients > 1 || t.restarted())
		w.refusal(t.call, t.reply.code, t.status == http.StatusNotFound && notFound)
		return false
	}
	if t.err != nil && !t.stream {
		w.excuse(t.call)
		return false
	}
	if t.args.Yes("bomb") {
		w.fail("refusal", "a body of more than %d bytes was taken", maxBody)
	}
	t.checkSilence()
	t.reply = parseReply(t.body, t.stream)
	if len(t.prompts) > 1 {
		t.settle()
	}
	t.checkContent()
	switch {
	case t.err == nil && !t.reply.ended:
		w.fail("outcome", "the answer ends without an end: %+v", *t.reply)
	case t.err != nil && !t.reply.ended:
		w.excuse(t.call)
		return false
	case t.reply.code != "":
		w.refusal(t.call, t.reply.code, false)
		return false
	case t.err != nil:
		w.excuse(t.call)
	}
	w.answers++
	t.checkComplete()
	return true
}

// checkSilence: while a client waits for the next piece of a stream, it hears that the server is
// there.
func (t *turn) checkSilence() {
	// These APIs look at the memory, or at a stored response, before the stream begins, and so do
	// all where an agent's earlier answer is in the prompt that the server does not remember. Behind
	// a stop string the end waits for the step that is under way.
	waits := t.api == "generate" || t.api == "responses" ||
		t.client.agent != nil && len(t.said) > 1 || slices.ContainsFunc(t.wants, answer.cut)
	if t.stream && !waits && t.err == nil && t.silent > patientClient {
		t.world.fail("outcome", "a stream was silent for %v", t.silent)
	}
}

// patientClient is more than twice as long as a server leaves a stream without a word.
const patientClient = 40 * time.Second

// checkContent checks what came, however much that is.
func (t *turn) checkContent() {
	w, r := t.world, t.reply
	if r.wrong != "" {
		w.fail("form", "%s", r.wrong)
	}
	if wrong := t.fits(); wrong != "" {
		w.fail("answer", "%s", wrong)
	}
	if s := t.header.Get("X-Cached-Tokens"); s != "" {
		cached, err := strconv.Atoi(s)
		must(err)
		limit, most := 0, 0
		for _, p := range t.prompts { // of a part of an answer it is not known which of them it was
			limit = max(limit, t.client.of.maxCached(t.own, t.sent, p, w.sharing == 0))
			most = max(most, len(p)-1)
		}
		if cached > limit || cached > most {
			w.fail("isolation", "%d tokens of the prompt were cached, and the principal has sent %d",
				cached, limit)
		}
	}
	if miss := t.header.Get("X-Cache-Miss"); miss == "corrupt" && w.rots == 0 {
		w.fail("durable", "a file on disk is corrupt")
	}
}

// fits returns what is wrong with the beginnings of the answers that came, "" if nothing is.
func (t *turn) fits() string {
	r := t.reply
	if len(r.answers) > len(t.wants) {
		return fmt.Sprintf("%d answers, not %d", len(r.answers), len(t.wants))
	}
	for i, a := range r.answers {
		want := t.wants[i].text
		begins := strings.HasPrefix(want, a.text) && !r.complete() || a.text == want ||
			r.code != "" && strings.HasPrefix(t.wants[i].held, a.text)
		if !begins && !(t.tool && sameCall(a.text, want)) {
			return fmt.Sprintf("%q, the oracle says %q to %q", a.text, want, t.spell())
		}
	}
	if r.prompt != 0 && r.prompt != len(t.prompt) {
		return fmt.Sprintf("%d tokens of prompt, not %d: %q", r.prompt, len(t.prompt), t.spell())
	}
	return ""
}

func (t *turn) spell() string {
	var b []byte
	for _, id := range t.prompt {
		switch id {
		case tokenBegin:
			b = append(b, '<')
		case tokenEnd:
			b = append(b, '>')
		default:
			b = letters{}.AppendToken(b, id)
		}
	}
	return string(b)
}

// checkComplete checks a complete answer.
func (t *turn) checkComplete() {
	w, r := t.world, t.reply
	if len(r.answers) != len(t.wants) {
		w.fail("answer", "%d answers, not %d", len(r.answers), len(t.wants))
	}
	tokens := 0
	for i, a := range r.answers {
		want := &t.wants[i]
		tokens += want.said
		if a.text != want.text && !(t.tool && sameCall(a.text, want.text)) {
			w.fail("answer", "%q, the oracle says %q to %q", a.text, want.text, t.spell())
		}
		if lengthReason(a.reason) == want.stopped {
			w.fail("answer", "it ends with %q, and the oracle's by itself: %v", a.reason, want.stopped)
		}
	}
	if r.output != 0 && r.output != tokens {
		w.fail("usage", "%d tokens of answer, not %d", r.output, tokens)
	}
	if said := r.prompt != 0; said != (t.usage || !t.stream || !t.openai()) {
		w.fail("usage", "it says how many tokens there are: %v", said)
	}
	saved := t.header.Get("X-Durable")
	if t.stream && t.err == nil {
		saved = t.trailer.Get("X-Durable")
	}
	asked := t.durable || t.before.durable == yes && t.client.agent.clients == 1
	switch {
	case !asked || t.err != nil:
	case saved == "failed: superseded" && t.replaced():
	case saved == "":
		w.fail("durable", "the answer does not say whether it is on disk")
	case saved != "saved" && !t.diskFault() && w.faults == 0 && !w.forgetful() && !t.restarted() &&
		w.durableWait >= 10*time.Second:
		w.fail("durable", "%s, and the disk is well", saved)
	}
}

// sameCall reports whether two calls differ in nothing but white space, which is lost where an
// answer has the arguments as JSON and not as a text.
func sameCall(a, b string) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, []byte(a)) == nil && json.Compact(&y, []byte(b)) == nil &&
		bytes.Equal(x.Bytes(), y.Bytes())
}

// remember notes what the turn leaves of its agent.
func (t *turn) remember() {
	a := t.client.agent
	switch {
	case a.clients > 1 || t.restarted() || t.rotted():
		if a.exists == no || t.crashed() {
			a.exists = maybe
		}
		a.left = 0
		if t.crashed() || a.clients > 1 {
			a.promised = min(a.promised, 1)
		}
		t.shorten()
		return
	case t.status >= 400 && t.status < 500 && t.choices == 1:
		return
	case t.reply == nil || !t.reply.complete() || t.err != nil || t.status != http.StatusOK:
		// A request that was taken leaves a memory, if not this one. So does the first of several
		// answers where the queue has no room for another.
		// One that the client gives up leaves the memory that it goes on from.
		if !t.gaveUp || !t.extends(a.left) {
			a.left = 0
		}
		if a.exists == no {
			a.exists = maybe
		}
		t.shorten()
		return
	}
	t.shorten()
	if a.rotten && (t.want.cut() || !t.renews()) {
		a.found()
		return
	}
	if t.want.cut() { // the engine may have been further, and ends the request at its next step
		if a.left = 0; !t.stepFault() {
			a.exists = yes
		} else if a.exists == no { // a step that fails leaves no memory, though the answer is whole
			a.exists = maybe
		}
		return
	}
	a.exists, a.left = yes, t.leaves()
	if t.saved() && !t.diskFault() {
		a.promise(a.left)
	}
}

// renews reports whether a complete turn certainly leaves another memory than the agent had. One
// with which that begins adds nothing, and is not written.
func (t *turn) renews() bool {
	left := slices.Concat(t.prompt, t.want.tokens)[:t.leaves()]
	return !slices.ContainsFunc(t.client.of.sent[:t.own], func(c conversation) bool {
		return c.agent == t.client.agent.name && len(c.tokens) >= len(left) &&
			slices.Equal(c.tokens[:len(left)], left)
	})
}

// replaced reports whether another client of the agent may have had its memory deleted, or replaced
// by an import, since the request began: then a turn that is not on disk yet never will be, and the
// answer says so.
func (t *turn) replaced() bool {
	return t.before.replacing > 0 || t.before.replaced != t.client.agent.replaced
}

// saved reports whether the answer says that it is on disk.
func (t *turn) saved() bool {
	return t.header.Get("X-Durable") == "saved" || t.trailer.Get("X-Durable") == "saved"
}

// shorten notes that the agent's memory may now be of another conversation than the one that is on
// disk: the new one takes its place, whatever its length.
func (t *turn) shorten() {
	if a := t.client.agent; a.promised > 1 && !t.extends(a.promised) {
		a.promised = 1
	}
}

// extends reports whether the prompt, whichever it is, goes on from the first n tokens of a
// conversation of the agent.
func (t *turn) extends(n int) bool {
	continues := func(prompt []int32) bool {
		return slices.ContainsFunc(t.client.of.sent[:t.own], func(c conversation) bool {
			return c.agent == t.client.agent.name && c.salt == t.salt && len(c.tokens) >= n &&
				slices.Equal(c.tokens[:n], prompt[:min(n, len(prompt))])
		})
	}
	for _, p := range t.prompts {
		if !continues(p) {
			return false
		}
	}
	return true
}

// excuse ends the world if a request had no end and nothing explains that.
func (w *world) excuse(c *call) {
	switch {
	case c.gaveUp, c.restarted(), c.args.Get("read") == "stop":
	default:
		w.fail("outcome", "the request has no end: status %d, %v after %q", c.status, c.err, c.body)
	}
}

// refusal ends the world if nothing explains an error that a client got.
func (w *world) refusal(c *call, code string, notFound bool) {
	ok := false
	switch code {
	case "draining", "loading", "overloaded_error":
		ok = c.restarted() || code == "overloaded_error"
	case "client_closed_request":
		ok = c.gaveUp || c.args.Get("read") == "stop"
	case "invalid_api_key", "authentication_error":
		ok = c.rekeyed() || c.status == http.StatusUnauthorized // checkKey has looked
	case "pool_exhausted", "queue_full", "rate_limit_error":
		ok = c.status == http.StatusTooManyRequests || c.status == http.StatusOK // within a stream
	case "agent_busy":
		ok = w.perAgent > 0
	case "share_exhausted":
		ok = w.inFlight > 0
	case "rate_limit_exceeded":
		ok = w.asksOften(c)
	case "agent_not_found", "not_found_error":
		ok = notFound
	case "internal_error", "api_error":
		ok = c.stepFault() || c.diskFault()
	case "memory_corrupt":
		ok = w.rots > 0
	case "disk_full", "request_too_large":
		ok = c.diskFault() || w.forgetful() || c.args.Yes("bomb")
	case "failed":
		ok = c.stepFault() || c.restarted()
	}
	if !ok {
		w.fail("refusal", "status %d, %q: %s", c.status, code, c.body)
	}
	if c.status == http.StatusTooManyRequests && code != "share_exhausted" &&
		c.header.Get("Retry-After") == "" {
		w.fail("refusal", "429 without Retry-After: %s", c.body)
	}
}

// asksOften reports whether the limit that an error names can have been reached: each is a bucket
// that a minute fills.
func (w *world) asksOften(c *call) bool {
	limit, times := w.rate, w.asked
	if !bytes.Contains(c.body, []byte("this server")) {
		limit, times = w.agentRate, w.askedBy[agentOf(c.who)]
	}
	n := 0
	for _, at := range times {
		if time.Since(at) < rateSpan {
			n++
		}
	}
	return limit > 0 && (n > limit || w.stepFaults > 0)
}

// noteAsked notes that a client asks for an answer now.
func (w *world) noteAsked(who string) {
	who = agentOf(who)
	w.asked = append(w.asked, time.Now())
	w.askedBy[who] = append(w.askedBy[who], time.Now())
}

// rateSpan is a minute, and how long a request may be under way to the limit.
const rateSpan = 70 * time.Second

// agentOf returns the agent that a client asks for, without the client's number.
func agentOf(who string) string {
	agent, _, _ := strings.Cut(who, "+")
	return agent
}
