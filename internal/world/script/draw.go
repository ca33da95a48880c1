package script

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Draw returns the episode of a seed. Most are short: what two clients and a fault can bring about
// is found sooner by many short episodes than by a few long ones. And each episode has some kinds
// of requests and faults and not others, because what is rare beside everything else is frequent
// where there is little else.
func Draw(seed uint64) Script {
	d := drawing{Rand: rand.New(rand.NewPCG(seed, 0x10ad)), Script: Script{Seed: seed}}
	d.long = d.one(6)
	for _, h := range habits {
		d.has[h] = d.one(2)
	}
	d.world()
	d.span = time.Duration(d.between(2, 40)) * time.Second
	for _, p := range d.principals {
		for i := range d.between(1, d.size(1, 2)) {
			d.agent(fmt.Sprintf("%s/a%d", p, i+1))
		}
		if d.one(d.size(6, 3)) { // a second client of the same agent
			d.agent(p + "/a1+2")
		}
		if d.one(d.size(4, 2)) {
			d.anonymous(p + "/-x")
		}
	}
	d.operator()
	slices.SortStableFunc(d.Actions, func(a, b Action) int { return int(a.At - b.At) })
	return d.Script
}

// A drawing is a script that is being drawn.
type drawing struct {
	*rand.Rand
	Script
	principals []string
	span       time.Duration // in which actions begin
	long       bool
	has        [len(habits)]bool
}

// A habit is what clients do, or what happens to the server, in some episodes and not in others.
type habit int

// The habits.
const (
	salts   habit = iota // of the cache
	tools                // are called
	choices              // several answers to a question
	seeds                // for the drawing of tokens
	storing              // of responses
	agains               // a question is asked once more, or edited
	rude                 // clients go away, or read slowly
	durable              // answers
	keeping              // memories are pinned
	moving               // memories are exported and imported
	deleting
	diskFaults
	stepFaults
	restarts
	keyChanges
	stops // strings that end an answer
)

var habits = [...]habit{salts, tools, choices, seeds, storing, agains, rude, durable, keeping,
	moving, deleting, diskFaults, stepFaults, restarts, keyChanges, stops}

// size returns the first number for a short episode and the second for a long one.
func (d *drawing) size(short, long int) int {
	if d.long {
		return long
	}
	return short
}

// one reports true once in n times.
func (d *drawing) one(n int) bool { return d.IntN(n) == 0 }

func (d *drawing) between(low, high int) int { return low + d.IntN(high-low+1) }

func (d *drawing) pick(from ...string) string { return from[d.IntN(len(from))] }

// when returns a moment of the episode, to the millisecond.
func (d *drawing) when() time.Duration {
	return time.Duration(d.Int64N(int64(d.span))).Truncate(time.Millisecond)
}

func (d *drawing) add(at time.Duration, who, verb string, args ...string) {
	args = strings.Fields(strings.Join(args, " "))
	d.Actions = append(d.Actions, Action{at, who, verb, args})
}

// maybe returns the setting once in n times, else "".
func (d *drawing) maybe(n int, format string, args ...any) string {
	if !d.one(n) {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func (d *drawing) world() {
	d.principals = []string{"ann", "bob", "cyd"}[:max(1, d.IntN(d.size(3, 4)))]
	w := Args{
		"principals=" + strings.Join(d.principals, ","),
		fmt.Sprintf("pool=%d", d.between(180, 440)),
		"block=" + d.pick("2", "4", "4", "8"),
		fmt.Sprintf("batch=%d", d.between(1, 6)),
		fmt.Sprintf("queue=%d", d.between(2, 12)),
		fmt.Sprintf("step-tokens=%d", d.between(8, 64)),
		"drafts=" + d.pick("yes", "no"),
		"sharing=" + d.pick("own", "own", "own", "none"),
		"save=" + d.pick("50ms", "1s", "10s"),
		fmt.Sprintf("step=%dms", d.between(1, 40)),
		fmt.Sprintf("lag=%dms", d.between(0, 60)),
		"durable-wait=" + d.pick("500ms", "10s"),
	}
	if len(d.principals) == 1 && d.one(3) {
		w = append(w, "keys=no")
	}
	for _, s := range []string{
		d.maybe(2, "within=%s", d.pick("500ms", "3s")),
		d.maybe(6, "quota=%d", d.between(20_000, 90_000)),
		d.maybe(4, "per-agent=%d", d.between(1, 3)),
		d.maybe(8, "rate=%d", d.between(5, 60)),
		d.maybe(8, "agent-rate=%d", d.between(2, 12)),
		d.maybe(4, "in-flight=%d", d.between(1, 4)),
		d.maybe(5, "seal=yes"),
		d.maybe(3, "disk-lag=%dms", d.between(1, 30)),
		d.maybe(5, "ttl=%ds", d.between(5, 60)),
	} {
		if s != "" {
			w = append(w, s)
		}
	}
	d.World = w
}

var words = strings.Fields(`kettle moon seven anchor the river of and tin lamp salt north a green
	stone door it is bell wheel over glass`)

func (d *drawing) say() string {
	var s []string
	for range d.between(1, 5) {
		s = append(s, d.pick(words...))
	}
	return "say=" + strings.Join(s, ".")
}

// agent draws what a client does with an agent.
func (d *drawing) agent(who string) {
	at := d.when() / 4
	if d.one(d.size(8, 3)) {
		d.add(at, who, "create", "durable="+d.pick("yes", "no"), d.outage())
	}
	others := d.others()
	for range d.between(1, d.size(3, 4)) {
		at += time.Duration(d.Int64N(int64(d.span)/4 + 1)).Truncate(time.Millisecond)
		if len(others) == 0 || !d.one(3) {
			d.turn(at, who)
			continue
		}
		switch verb := d.pick(others...); verb {
		case "pin":
			d.add(at, who, d.pick("pin", "pin", "unpin"),
				d.maybe(3, "durable=%s", d.pick("yes", "no")), d.outage())
		case "stored":
			d.add(at, who, verb, d.maybe(3, "as=%s", d.pick(d.principals...)))
		case "move":
			d.add(at, who, "export", d.outage())
			d.add(at, who, "import", d.maybe(4, "change=%s", d.pick(
				fmt.Sprint(d.IntN(3000)), fmt.Sprint(d.between(-32, -1)))), // its tag is at the end
				d.maybe(3, "as=%s", d.pick(d.principals...)), d.outage())
		case "delete":
			d.turn(at, who)
			d.add(at, who, verb, d.outage())
		default:
			d.add(at, who, verb)
		}
	}
}

// others returns what an agent's client does beside its turns.
func (d *drawing) others() (verbs []string) {
	for h, list := range map[habit][]string{
		keeping: {"pin", "pin", "get"}, storing: {"stored"}, moving: {"move", "export"},
		deleting: {"delete", "list"},
	} {
		if d.has[h] {
			verbs = append(verbs, list...)
		}
	}
	slices.Sort(verbs)
	return verbs
}

func (d *drawing) turn(at time.Duration, who string) {
	waits := d.habit(durable, 2, "durable=wait")
	if waits != "" {
		waits += " " + d.outage()
	}
	d.add(at, who, "turn", append(d.kind(),
		"api="+d.pick("chat", "chat", "messages", "responses", "generate"),
		"stream="+d.pick("yes", "no"),
		d.length(),
		d.say(),
		waits,
		d.maybe(8, "new=yes"),
		d.habit(agains, 3, "again=%s", d.pick("same", "edited")),
		d.maybe(2, "keep=yes"),
		d.habit(storing, 2, "store=yes"),
		d.habit(storing, 2, "follow=yes"),
		d.manner())...)
}

// habit returns the setting once in n times if the episode has the habit, else "".
func (d *drawing) habit(h habit, n int, format string, args ...any) string {
	if s := d.maybe(n, format, args...); d.has[h] {
		return s
	}
	return ""
}

// kind draws how an answer is made: mostly of the likeliest tokens, else by a seed or as a call of
// a tool.
func (d *drawing) kind() []string {
	kind := []string{
		d.habit(salts, 2, "salt=%s", d.pick("s1", "s2")),
		d.habit(choices, 3, "choices=%d", d.between(2, 3)),
		d.maybe(2, "usage=yes"),
	}
	if d.has[tools] && d.one(4) {
		return append(kind, "tool=yes")
	}
	if d.has[seeds] && d.one(2) {
		kind = append(kind, fmt.Sprintf("temperature=0.%d", d.between(2, 9)),
			fmt.Sprintf("seed=%d", d.IntN(1000)))
	}
	return kind
}

// length draws how long an answer may be, and what may end it before.
func (d *drawing) length() string {
	switch {
	case d.has[stops] && d.one(2):
		return fmt.Sprintf("max=%d stop=%d", d.between(5, 30), d.IntN(30))
	case d.has[rude] && d.one(3): // so that there is something to go away from
		return fmt.Sprintf("max=%d", d.between(10, 50))
	}
	return fmt.Sprintf("max=%d", d.between(1, 9))
}

// outage draws whether the power goes as soon as an action has been answered.
func (d *drawing) outage() string {
	if d.has[restarts] {
		return d.maybe(4, "power=yes")
	}
	return ""
}

// manner draws how a client reads an answer.
func (d *drawing) manner() string {
	if !d.has[rude] {
		return ""
	}
	switch d.IntN(6) {
	case 0:
		return "read=slow"
	case 1:
		return fmt.Sprintf("abort=%d", d.IntN(1500)) // after this many bytes of the response
	case 2:
		return fmt.Sprintf("cut=%d", d.IntN(300)) // after this many bytes of the request
	case 3:
		if d.one(4) {
			return "read=stop"
		}
	}
	return ""
}

// anonymous draws requests without an agent.
func (d *drawing) anonymous(who string) {
	if d.one(2) {
		d.add(d.when(), who, "flood", fmt.Sprintf("n=%d", d.between(3, 6)),
			fmt.Sprintf("max=%d", d.between(1, 6)), d.say(), d.manner())
	}
	for range d.between(0, 2) {
		d.add(d.when(), who, "turn", append(d.kind(),
			"api="+d.pick("chat", "completions", "messages", "responses"),
			"stream="+d.pick("yes", "no"), d.length(), d.say(),
			d.maybe(6, "two-keys=yes"),
			d.maybe(6, "%s", d.pick("coding=gzip", "bomb=yes")),
			d.manner())...)
	}
	d.add(d.when(), who, d.pick("models", "health", "metrics", "stats", "status"))
}

// operator draws what happens to the server.
func (d *drawing) operator() {
	var kinds []habit
	for _, h := range []habit{diskFaults, stepFaults, restarts, keyChanges} {
		if d.has[h] {
			kinds = append(kinds, h)
		}
	}
	if len(kinds) == 0 {
		return
	}
	for range d.IntN(d.size(3, 4)) {
		switch at := d.when(); kinds[d.IntN(len(kinds))] {
		case restarts:
			d.restart(at)
		case keyChanges:
			d.add(at, Operator, "keys", "who="+d.pick(d.principals...), "do="+d.pick("rotate", "revoke"))
			d.add(at+d.span/8, Operator, "keys", "who="+d.pick(d.principals...), "do=rotate")
		case diskFaults:
			d.diskFault(at)
		case stepFaults:
			d.add(at, Operator, "step", "do="+d.pick("error", "panic", "hang"),
				fmt.Sprintf("after=%d", d.IntN(6)))
		}
	}
}

// diskFault draws what the disk does. Some faults only a server sees that starts.
func (d *drawing) diskFault(at time.Duration) {
	again := 4
	if d.one(4) {
		again = 2
		d.add(at, Operator, "rot", fmt.Sprintf("bit=%d", d.IntN(1<<16)))
	} else {
		d.add(at, Operator, "disk",
			"op="+d.pick("write", "sync", "syncdir", "rename", "create", "remove", "mark", "read",
				"open", "any", "any"),
			"error="+d.pick("eio", "enospc", "short", "slow", "eio"),
			fmt.Sprintf("after=%d", d.IntN(12)), fmt.Sprintf("times=%d", d.between(1, 4)))
	}
	if d.one(again) {
		d.restart(at + d.span/50)
	}
}

// restart draws how a server ends: in order, by a loss of power, or because it gets no memory.
func (d *drawing) restart(at time.Duration) {
	switch d.IntN(5) {
	case 0, 1:
		d.add(at, Operator, "power")
	case 2:
		d.add(at, Operator, "alloc")
	default:
		d.add(at, Operator, "restart", "drain="+d.pick("0s", "200ms", "30s"))
	}
}
