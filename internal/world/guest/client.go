package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"loadstone/internal/world/script"
)

// A client asks in the name of an agent, one thing after another.
type client struct {
	world *world
	who   string
	of    *principal
	agent *agent // nil: it names none
	said  []message
	asked []message // what was said up to its last question
	line  *line     // that it keeps; nil: none
	last  *stored   // the response that it has stored last; nil: none
}

// A message is one of a conversation.
type message struct {
	role, text string
	call       bool // the text is a call of the tool, as the model wrote it
}

// client returns the client PRINCIPAL/AGENT, PRINCIPAL/AGENT+N for another one of the same agent,
// or PRINCIPAL/-NAME for one without an agent.
func (w *world) client(who string) *client {
	if who == script.Operator {
		return nil
	}
	name, agent, _ := strings.Cut(who, "/")
	p := w.principals[name]
	if p == nil { // a world without keys has one principal, whatever a script says
		p = w.principals[w.names[0]]
	}
	c := &client{world: w, who: who, of: p}
	if agent, _, _ = strings.Cut(agent, "+"); !strings.HasPrefix(agent, "-") {
		c.agent = p.agent(agent)
		c.agent.clients++
	}
	return c
}

// act does what an action says.
func (c *client) act(a script.Action) {
	switch a.Verb {
	case "turn":
		c.turn(a.Args)
	case "flood":
		c.flood(a.Args)
	case "create":
		c.create(a.Args)
	case "get":
		c.get()
	case "list":
		c.list()
	case "pin", "unpin":
		c.pin(a.Verb == "pin", a.Args)
	case "delete":
		c.delete()
	case "export":
		c.export()
	case "stored":
		c.lookUp(a.Args)
	case "import":
		c.importFile(a.Args)
	case "models", "metrics", "health", "stats", "status":
		c.look(a.Verb)
	default:
		c.world.fail("script", "unknown verb %q", a.Verb)
	}
	switch a.Verb {
	case "turn", "create", "pin", "unpin", "delete", "import":
		if c.agent != nil {
			c.agent.hidden = nil // what was known of it is old
		}
	}
	if a.Args.Yes("power") {
		c.world.outage()
	}
}

// flood asks many times at once.
func (c *client) flood(args script.Args) {
	var all sync.WaitGroup
	for i := range args.Int("n") {
		all.Go(func() {
			one := &client{world: c.world, who: fmt.Sprintf("%s.%d", c.who, i), of: c.of}
			api := []string{"chat", "messages", "responses", "completions"}[i%4]
			one.turn(append(slices.Clone(args), "api="+api, "stream="+[]string{"yes", "no"}[i/2%2]))
		})
	}
	all.Wait()
}

// turn asks a question and checks the answer.
func (c *client) turn(args script.Args) {
	q := c.question(args)
	c.asked = q.said
	t := &turn{client: c, question: q, prompts: c.prompts(q), own: len(c.of.sent)}
	if stops := args.Get("stop") != "" && !q.tool && q.api != "responses"; stops &&
		len(t.prompts) == 1 {
		t.stops = stopStrings(c.world.oracle.answer(t.prompts[0], q.manner).text, args.Int("stop"))
	}
	who := asker{salt: q.salt}
	if c.agent != nil {
		who.agent, t.before = c.agent.name, *c.agent
	}
	for _, p := range t.prompts {
		t.expect(c.world.oracle, p)
		for _, a := range t.wants {
			c.of.sent = append(c.of.sent, conversation{who, slices.Concat(p, a.tokens)})
		}
	}
	t.sent = len(c.of.sent)
	t.expect(c.world.oracle, t.prompts[0])

	var headers []string
	path, body := c.request(q)
	if who.agent != "" {
		headers = append(headers, "X-Agent-ID: "+who.agent)
	}
	if args.Get("coding") != "" || args.Yes("bomb") {
		headers = append(headers, "Content-Encoding: gzip")
		body = compressed(body, args.Yes("bomb"))
	}
	if t.durable = args.Get("durable") == "wait" && who.agent != ""; t.durable {
		headers = append(headers, "X-Durable: wait")
	}
	c.world.noteAsked(c.who)
	t.call = c.send(args, "POST", path, body, headers...)
	if t.check() && t.want.text != "" && q.api != "completions" {
		c.said = append(q.said, message{"assistant", t.want.text, isCall(t.want.text)})
		c.keep(t)
	}
	if c.agent != nil {
		t.remember()
	}
}

// compressed returns a body in gzip's coding. A bomb is larger than a body may be when it is plain.
func compressed(body string, bomb bool) string {
	if bomb {
		body += strings.Repeat(" ", maxBody)
	}
	var b strings.Builder
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	must(err)
	io.WriteString(z, body)
	must(z.Close())
	return b.String()
}

// question returns the question of an action. It begins a new conversation when the old one has
// become too long for the pool.
func (c *client) question(args script.Args) *question {
	api := args.Get("api")
	q := &question{api: api, stream: args.Yes("stream"), manner: newManner(args, api),
		salt: args.Get("salt"), choices: 1}
	if q.openai() {
		q.choices, q.usage = max(args.Int("choices"), 1), args.Yes("usage")
	}
	first := message{role: "user", text: c.of.secret() + "." + args.Get("say")}
	if q.said = c.next(args); len(q.said) == 0 || len(q.said) > 13 {
		q.said = []message{first}
	}
	if n := len(c.prompts(q)[0]) + q.max; n > c.world.pool/2 {
		q.said = []message{first}
	}
	if c.agent != nil && api == "responses" {
		q.store = args.Yes("store")
		if l := c.last; l != nil && args.Yes("follow") &&
			slices.Equal(q.said[:len(q.said)-1], l.said) {
			q.after = l
		}
	}
	return q
}

// next returns the conversation with what an action has the client say next: to the answer before,
// or once more what it said last, or that with another end. A tool that was called returns it.
func (c *client) next(args script.Args) []message {
	say := args.Get("say")
	switch last := len(c.asked) - 1; {
	case args.Yes("new"):
		return nil
	case args.Get("again") == "same" && last >= 0:
		return slices.Clone(c.asked)
	case args.Get("again") == "edited" && last >= 0:
		said := slices.Clone(c.asked)
		text := said[last].text
		said[last].text = text[:max(len(text)/2, min(len(c.of.secret()), len(text)))] + "." + say
		return said
	case len(c.said) == 0:
		return nil
	}
	reply := message{role: "user", text: say}
	if c.said[len(c.said)-1].call {
		reply.role = "tool"
	}
	return append(slices.Clone(c.said), reply)
}

// calm reports whether what is known of the agent can be held to: it has no other client, and
// nothing happened to the server during the request.
func (c *client) calm(r *call) bool {
	return c.agent.clients == 1 && !r.restarted() && r.status != 0 && r.err == nil &&
		!c.of.revoked && !r.rekeyed() && !r.rotted()
}

// agentPath returns the path of the agent.
func (c *client) agentPath(action string) string { return "/v1/agents/" + c.agent.name + action }

// ask calls the agents API. It checks what a failure may be, and returns the call if it has an
// answer of one of the statuses.
func (c *client) ask(args script.Args, method, path, body string, good ...int) (*call, bool) {
	r := c.send(args, method, path, body)
	if r.status == 0 || r.err != nil {
		c.world.excuse(r)
		return r, false
	}
	if slices.Contains(good, r.status) {
		return r, true
	}
	c.world.refusal(r, parseReply(r.body, false).code, slices.Contains(good, -1))
	return r, false
}

func (c *client) create(args script.Args) {
	durable := args.Yes("durable")
	body := fmt.Sprintf(`{"agent_id":%q,"durable":%v}`, c.agent.name, durable)
	was := c.agent.exists
	r, ok := c.ask(nil, "POST", "/v1/agents", body, http.StatusCreated, http.StatusConflict)
	switch {
	case !ok || !c.calm(r):
		c.agent.uncertain()
	case r.status == http.StatusCreated:
		if was == yes && !c.loose() {
			c.world.fail("agents", "%s was created twice", c.agent.name)
		}
		// What is known of its pin holds: that of a memory which was set aside is the new one's.
		if c.agent.exists = yes; durable {
			c.agent.durable = yes
		}
		if c.agent.left, c.agent.promised = 0, 0; !r.diskFault() {
			c.agent.promise(1)
		}
	default:
		if was == no {
			c.world.fail("agents", "%s exists before it is created", c.agent.name)
		}
		c.agent.found()
	}
}

// loose reports whether the agent's memory may be deleted at any time.
func (c *client) loose() bool { return c.world.forgetful() && c.agent.pinned != yes }

// An info is what the API says of an agent.
type info struct {
	Agent   string `json:"agent_id"`
	Tokens  int    `json:"tokens"`
	Saved   int    `json:"saved_tokens"`
	Pinned  bool   `json:"pinned"`
	Durable bool   `json:"durable"`
}

// get looks at the agent and holds the answer to what is known of it.
func (c *client) get() {
	r, ok := c.ask(nil, "GET", c.agentPath(""), "", http.StatusOK, http.StatusNotFound)
	if ok && c.calm(r) {
		c.found(r)
	}
}

// found checks an answer that shows the agent, or says that there is none.
func (c *client) found(r *call) {
	a := c.agent
	if r.status == http.StatusNotFound {
		if a.exists == yes && !c.loose() {
			c.world.fail("durable", "%s is gone; %d of its tokens were on disk", a.name, a.promised)
		}
		if a.exists, a.promised, a.left = no, 0, 0; c.world.diskErrors > 0 {
			a.exists = maybe // the next start may read a file that this one could not
		}
		return
	}
	var got info
	must(json.Unmarshal(r.body, &got))
	switch {
	case a.exists == no:
		c.world.fail("durable", "%s is back: %+v", a.name, got)
	case a.exists == yes && !c.loose() && got.Saved < a.promised-1:
		c.world.fail("durable", "of %s %d tokens are on disk, and %d were", a.name, got.Saved, a.promised)
	case a.pinned != maybe && got.Pinned != (a.pinned == yes) && !c.world.forgetful():
		c.world.fail("durable", "%s is pinned: %v", a.name, got.Pinned)
	case a.durable != maybe && got.Durable != (a.durable == yes):
		c.world.fail("durable", "%s is durable: %v", a.name, got.Durable)
	}
	a.found()
}

// list looks at all agents of the principal.
func (c *client) list() {
	path := "/v1/agents"
	r, ok := c.ask(nil, "GET", path, "", http.StatusOK)
	if !ok {
		return
	}
	var got struct{ Data []info }
	must(json.Unmarshal(r.body, &got))
	seen := map[string]bool{}
	for _, m := range got.Data {
		if seen[m.Agent] {
			c.world.fail("agents", "%s is listed twice", m.Agent)
		}
		seen[m.Agent] = true
		if c.of.agents[m.Agent] == nil {
			c.world.fail("isolation", "%s lists an agent %q that it has not", c.of.name, m.Agent)
		}
	}
	if a := c.agent; a != nil && c.calm(r) && !c.loose() {
		if a.exists == yes && !seen[a.name] || a.exists == no && seen[a.name] {
			c.world.fail("agents", "%s is listed: %v", a.name, seen[a.name])
		}
	}
}

func (c *client) pin(pinned bool, args script.Args) {
	path, body := c.agentPath("/unpin"), ""
	if pinned {
		path = c.agentPath("/pin")
	}
	durable := args.Get("durable")
	if durable != "" {
		body = fmt.Sprintf(`{"durable":%v}`, durable == "yes")
	}
	a := c.agent
	r, ok := c.ask(nil, "POST", path, body, http.StatusOK, http.StatusNotFound)
	if !ok || !c.calm(r) {
		a.pinned, a.durable = maybe, maybe
		return
	}
	if r.status == http.StatusOK {
		a.pinned = knownBool(pinned)
		if durable != "" {
			a.durable = knownBool(durable == "yes")
		}
		// It saves the memory first, if that is not saved.
		if !r.diskFault() && (a.left > 0 || !a.rotten) {
			a.promise(max(a.left, a.promised, 1))
		}
	} else if !pinned {
		a.pinned = no // so that its age or a quota may have deleted it before the answer
	}
	c.found(r)
}

func (c *client) delete() {
	a := c.agent
	was := a.exists
	defer a.replace()()
	r, ok := c.ask(nil, "DELETE", c.agentPath(""), "", http.StatusNoContent, http.StatusNotFound)
	last := c.last
	c.said, c.last = nil, nil
	switch {
	case !ok || !c.calm(r):
		a.uncertain()
	case r.status == http.StatusNotFound && was == yes && !c.loose():
		c.world.fail("durable", "%s is gone when it is deleted", a.name)
	default:
		*a = agent{name: a.name, clients: a.clients, exists: no, pinned: no, durable: no,
			exported: a.exported, exportLen: a.exportLen, calls: a.calls,
			replaced: a.replaced, replacing: a.replacing}
		if last != nil && r.status == http.StatusNoContent {
			c.checkGone(last)
		}
	}
}

func (c *client) export() {
	a := c.agent
	r, ok := c.ask(nil, "GET", c.agentPath("/export"), "", http.StatusOK, http.StatusNotFound)
	if !ok {
		return
	}
	if r.status == http.StatusOK {
		a.exported, a.exportLen = r.body, 0
		if c.calm(r) {
			if !r.diskFault() && (a.left > 0 || !a.rotten) { // it saves the memory first
				a.promise(max(a.left, a.promised))
			}
			a.exportLen = a.left
			if a.exists == no {
				c.world.fail("agents", "%s is exported and does not exist", a.name)
			}
		}
	} else if c.calm(r) && a.exists == yes && !c.loose() {
		c.world.fail("durable", "%s is gone when it is exported", a.name)
	}
}

// importFile sends back what was exported: as it is, changed, or in another principal's name.
func (c *client) importFile(args script.Args) {
	a, file := c.agent, slices.Clone(c.agent.exported)
	if len(file) == 0 {
		return
	}
	to := c
	if other := c.world.principals[args.Get("as")]; other != nil && other != c.of {
		to = &client{world: c.world, who: c.who, of: other}
	}
	good := []int{http.StatusOK}
	changed := args.Get("change") != ""
	if changed {
		at := args.Int("change")
		if at < 0 { // from the end, where the tag is
			at += len(file)
		}
		file[max(at, 0)%len(file)] ^= 1
		good = []int{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict}
	}
	if to != c {
		good = []int{http.StatusBadRequest, http.StatusForbidden}
	}
	if c.world.forgetful() {
		good = append(good, http.StatusRequestEntityTooLarge)
	}
	defer a.replace()()
	r, ok := to.ask(nil, "POST", "/v1/agents/import", string(file), good...)
	if to != c || changed {
		if r.status == http.StatusOK {
			c.world.fail("import", "a file was taken that is changed (%v) or another's", changed)
		}
		return
	}
	switch {
	case !ok || !c.calm(r):
		a.uncertain()
	case r.status == http.StatusOK:
		a.exists, a.left = yes, a.exportLen
		a.promise(a.exportLen)
	}
}

// look asks for what is the same for all agents.
func (c *client) look(verb string) {
	path := map[string]string{"models": "/v1/models", "metrics": "/metrics", "health": "/health/ready",
		"stats": "/v1/agents/stats", "status": "/admin/status"}[verb]
	r, ok := c.ask(nil, "GET", path, "", http.StatusOK, http.StatusServiceUnavailable)
	if !ok {
		return
	}
	for _, name := range c.world.names {
		if p := c.world.principals[name]; p != c.of && strings.Contains(string(r.body), strconv.Quote(name)) {
			c.world.fail("isolation", "%s names %s to %s", path, name, c.of.name)
		}
	}
	switch verb {
	case "health":
		c.checkReady(r)
	case "status":
		c.checkRecent(r)
	}
}

// checkRecent: the page of the server's state shows a principal no answers but its own.
func (c *client) checkRecent(r *call) {
	var got struct{ Recent []any }
	if err := json.Unmarshal(r.body, &got); err == nil && len(got.Recent) > len(c.of.sent) {
		c.world.fail("isolation", "%s sees %d answers, and has asked for %d", c.of.name,
			len(got.Recent), len(c.of.sent))
	}
}

// checkReady: a server whose model has been in one step for a minute says so.
func (c *client) checkReady(r *call) {
	w, stuck := c.world, strings.Contains(string(r.body), "model_stuck")
	if r.restarted() {
		return
	}
	began := w.running.model.stuckSince
	since := time.Since(began)
	if hangs := !began.IsZero(); stuck && !hangs ||
		!stuck && hangs && since > 62*time.Second && since < hangTime-time.Second {
		w.fail("health", "model_stuck: %v; the step takes %v", stuck, since)
	}
}
