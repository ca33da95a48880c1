package scenario

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstone/harness/figure"
	"loadstone/harness/limit"
	"loadstone/harness/load"
)

// A Key is one setting of a load section.
type Key struct {
	Name  string
	Form  string // what its value looks like
	About string
	Group string // what it is about, for help

	read func(p *parser, value string) error
}

// The groups of keys, in the order of the help.
const (
	naming    = ""
	arriving  = "When agents arrive, one of"
	spacing   = "How they arrive"
	ending    = "When it ends, at least one of"
	asking    = "What an agent asks"
	meddling  = "What goes wrong on purpose"
	measuring = "How it is measured"
	seeding   = "Seeds"
)

const (
	amount = load.AmountForms
	tokens = amount + "; or in percent of the server's KV pool, or of its context: 5% of pool, " +
		"2% of context"
)

// Keys are all there are, in the order of the help.
var Keys []Key

// init, for the keys' errors list the keys.
func init() {
	Keys = []Key{
		{"name", "letters, digits, - . and _",
			"what it is called in the results; default: the file's or folder's name", naming, readName},
		{"about", "a sentence", "what the scenario is for", naming,
			func(p *parser, v string) error { p.Load.About = v; return nil }},
		{"serve", "flags of loadstone serve",
			"the server's settings, where run starts it itself", naming,
			func(p *parser, v string) error { p.Serve = strings.Fields(v); return nil }},

		{"concurrency", "a number, 1 or more",
			"closed loop: so many agents at a time; when one ends the next begins", arriving,
			number1(func(p *parser) *int { return &p.Load.Concurrency })},
		{"together", "a number, 1 or more",
			"closed loop in rounds: so many agents have their next turn at the same moment", arriving,
			number1(func(p *parser) *int { return &p.Load.Together })},
		{"rate", "4/s, 1/s to 20/s over 30s, or steps 1/s 2/s 4/s each 10s",
			"open loop: so many agents a second, however many are busy", arriving,
			func(p *parser, v string) (err error) { p.Load.Rate, err = profile(v); return err }},
		{"burst", "20, or 20 every 5s",
			"open loop: so many agents at once, once or again and again", arriving, readBurst},
		{"trace", "the name of a section such as trace.jsonl, or the path of a file or folder",
			"recorded traffic, whose form is told by its content. Requests come as recorded; sessions as " +
				"recorded too, or one after the other where their times are not known, or as " +
				"another key here says; loadstone help traces", arriving,
			func(p *parser, v string) error { p.trace = v; return nil }},

		{"gaps", "even, poisson, or gamma SHAPE",
			"between arrivals at a rate; gamma below 1 is bursty, 1 is poisson, the default",
			spacing, readGaps},
		{"ramp-up", "a time",
			"in which the first agents of a concurrency begin, one after the other", spacing,
			time1(func(p *parser) *time.Duration { return &p.Load.RampUp })},
		{"speed", "a number above 0", "of a trace: 10 replays it ten times as fast, pauses " +
			"included", spacing,
			func(p *parser, v string) (err error) { p.Load.Speed, err = positive(v); return err }},
		{"lengths", "a number above 0", "of a trace: what its token counts are multiplied with; " +
			"texts are only cut", spacing,
			func(p *parser, v string) (err error) { p.Load.Lengths, err = positive(v); return err }},

		{"idle", "a time such as 30s", "of recorded sessions: longer pauses are cut to it", spacing,
			time1(func(p *parser) *time.Duration { return &p.Load.Replay.Idle })},
		{"timestamps", "s, ms, us or ns",
			"of a trace: their unit; default ms, and of dates since 1970 what they show", spacing,
			readUnit},

		{"requests", "a number, 1 or more", "sent in all, in each run", ending,
			number1(func(p *parser) *int { return &p.Load.Requests })},
		{"jobs", "a number, 1 or more", "agents in all, in each run, each of whom works to its end",
			ending,
			number1(func(p *parser) *int { return &p.Load.Jobs })},
		{"rounds", "a number, 1 or more", "of together: so many in each run; default 1", ending,
			number1(func(p *parser) *int { return &p.Load.Rounds })},
		{"duration", "a time",
			"after which nothing more is due; what is on its way is waited for", ending,
			time1(func(p *parser) *time.Duration { return &p.Load.Duration })},

		{"turns", amount + "; or endless",
			"of an agent, each with the whole conversation and the server's answers; default 1",
			asking, readTurns},
		{"think", amount + ", of times such as 2s",
			"pause between an answer and the next turn; default none", asking,
			amount1(timeNumber, func(p *parser) *load.Amount { return &p.Load.Think })},
		{"prompt", tokens, "tokens of an agent's first question, roughly; default 64", asking,
			amount1(number, func(p *parser) *load.Amount { return &p.Load.Prompt })},
		{"follow-up", tokens, "tokens of its later questions; default an eighth of prompt's", asking,
			amount1(number, func(p *parser) *load.Amount { return &p.Load.FollowUp })},
		{"answer", tokens, "max tokens of an answer; default 16", asking,
			amount1(number, func(p *parser) *load.Amount { return &p.Load.Answer })},
		{"reserve", "89% of pool",
			"of together: answers may be so long that a round reserves this part of the KV pool",
			asking, readReserve},
		{"stop", `a JSON array such as [".", "\n"]`, "strings that end an answer", asking, readStop},
		{"fan-out", amount, "questions asked in parallel after each answer; the next turn begins " +
			"with their answers", asking,
			amount1(number, func(p *parser) *load.Amount { return &p.Load.FanOut })},
		{"compact", "80% of context to 10% of context, or numbers of tokens", "a conversation that " +
			"would exceed the first is summed up in an answer of the second, and begins anew with that",
			asking, readCompact},
		{"sub-agents", "2 of 5 calls after 10% of turns; both numbers may vary: uniform 1 3 of 5 calls",
			"so many work beside each other, each in a conversation of its own; the next turn begins " +
				"with their answers", asking, readSubAgents},
		{"system", "2 of 300 tokens, or 1 of 10% of context", "so many system prompts, each agent " +
			"having one of them; or write them in sections system*.txt", asking, readSystem},
		{"answers", "recorded or served", "of recorded sessions: what later prompts have for the " +
			"answers: the recorded ones, the default, or the server's own", asking,
			either(func(p *parser) *bool { return &p.Load.Replay.Served }, "recorded", "served")},
		{"answer-length", "recorded or asked", "of recorded sessions: answers of the recorded " +
			"length, the default, forced where the server takes ignore_eos and else compared; or " +
			"as long as was asked for",
			asking, either(func(p *parser) *bool { return &p.Load.Replay.AsAsked }, "recorded", "asked")},
		{"overflow", "send, skip, cut or compact", "of recorded sessions: what becomes of a call " +
			"that exceeds the server's context; cut leaves out the oldest messages, compact puts " +
			"a summary in their place; default send", asking,
			func(p *parser, v string) (err error) {
				p.Load.Replay.Overflow, err = load.ParseOverflow(v)
				return err
			}},
		{"context", "a number, 1 or more", "tokens of the server's context, for overflow and for " +
			"amounts of the context; default what it says, which bounds amounts in any case",
			asking, number1(func(p *parser) *int { return &p.Load.Replay.Context })},
		{"salt", "run or none", "of recorded sessions: a word before the first message that is " +
			"new in each run, the default, so that caches begin cold; or none, and texts are sent " +
			"as they were", asking,
			either(func(p *parser) *bool { return &p.Load.Replay.AsIs }, "run", "none")},
		{"body", "NAME= (left out), NAME=JSON, or NAME=@OTHER (OTHER under this name), separated by " +
			"blanks", "how the bodies of requests differ from the usual", asking, readBody},
		{"header", "NAME: VALUE", "that every request has; may be given more than once", asking,
			readHeader},

		{"cancel", "20% after AMOUNT, of times or of pieces: 20% after exponential 200ms, " +
			"5% after 3 pieces", "requests that are cancelled", meddling, readCancel},
		{"slow", "10% at 2000 B/s",
			"answers that are read slowly; their times are kept out of the results", meddling, readSlow},
		{"timeout", "a time", "of one request; default 2m", meddling,
			time1(func(p *parser) *time.Duration { return &p.Load.Timeout })},

		{"cache", "cold, hot or restored",
			"what the agents' caches hold when the clock starts; default cold", measuring,
			func(p *parser, v string) (err error) { p.Load.Cache, err = load.ParseCache(v); return err }},
		{"warm-up", "a time, 20 requests, or auto",
			"the beginning that is left out; auto: until latency is steady", measuring, readWarmUp},
		{"goodput", limit.ObjectiveForm,
			"what an answer must hold to be good; goodput and good-ratio count those that do", measuring,
			func(p *parser, v string) (err error) {
				p.Load.Goodput, err = limit.ParseObjective(v)
				return err
			}},
		{"runs", "a number, 1 or more, or 30 until p95-e2e within 5%", "rounds, each a line in " +
			"bench.txt; default 1; until ends them when the figure's median is known so well",
			measuring, readRuns},
		{"sweep", "rate 1/s 2/s 4/s, or concurrency 1 2 4 8", "a run at each level", measuring,
			readSweep},
		{"search", "rate 1/s to 64/s within 5%, or concurrency 1 to 64 within 5%",
			"the highest level at which all that is expected holds", measuring, readSearch},

		{"seed", "a number", "of all that is drawn at random; default 1", seeding,
			func(p *parser, v string) error {
				n, err := seed(v)
				p.seeds(n)
				return err
			}},
	}
	for _, of := range [][2]string{
		{"text", "the words of prompts"}, {"length", "tokens, turns and parallel questions"},
		{"order", "which agent gets which written prompt"}, {"schedule", "arrivals"},
		{"think", "pauses"}, {"cancel", "which requests are cancelled or read slowly"},
	} {
		name := "seed." + of[0]
		Keys = append(Keys, Key{name, "a number", of[1], seeding,
			func(p *parser, v string) (err error) { *p.seedKeys()[name], err = seed(v); return err }})
	}
}

// number1 reads a number from 1 on.
func number1(to func(p *parser) *int) func(*parser, string) error {
	return func(p *parser, v string) (err error) {
		*to(p), err = count(v, 1)
		return err
	}
}

// either reads one of two words; the second sets the value.
func either(to func(p *parser) *bool, unset, set string) func(*parser, string) error {
	return func(p *parser, v string) error {
		if v != unset && v != set {
			return fmt.Errorf("%q", v)
		}
		*to(p) = v == set
		return nil
	}
}

// time1 reads a time above 0.
func time1(to func(p *parser) *time.Duration) func(*parser, string) error {
	return func(p *parser, v string) (err error) {
		*to(p), err = duration(v)
		return err
	}
}

// amount1 reads an amount whose numbers one reads.
func amount1(one func(string) (float64, error),
	to func(p *parser) *load.Amount) func(*parser, string) error {
	return func(p *parser, v string) (err error) {
		*to(p), err = load.ParseAmount(v, one)
		return err
	}
}

func readName(p *parser, v string) error {
	if p.Load.Name = v; clean(v) != v {
		return fmt.Errorf("%q", v)
	}
	return nil
}

func readUnit(p *parser, v string) error {
	units := map[string]time.Duration{"s": time.Second, "ms": time.Millisecond,
		"us": time.Microsecond, "ns": time.Nanosecond}
	if p.unit = units[v]; p.unit == 0 {
		return fmt.Errorf("%q", v)
	}
	return nil
}

func readBody(p *parser, v string) (err error) {
	p.Body, err = load.ParseBody(v)
	return err
}

func readHeader(p *parser, v string) error {
	h, err := load.ParseHeader(v)
	p.Headers = append(p.Headers, h)
	return err
}

func readTurns(p *parser, v string) (err error) {
	if v == "endless" {
		p.Load.Turns = load.Endless
		return nil
	}
	p.Load.Turns, err = load.ParseAmount(v, number)
	return err
}

func readReserve(p *parser, v string) (err error) {
	share, ok := strings.CutSuffix(v, " of pool")
	if !ok {
		return fmt.Errorf("%q", v)
	}
	p.Load.Reserve, err = part(share)
	return err
}

func readStop(p *parser, v string) error {
	if err := json.Unmarshal([]byte(v), &p.Load.Stop); err != nil {
		return fmt.Errorf("%s is not an array of strings", v)
	}
	return nil
}

func readBurst(p *parser, v string) (err error) {
	size, every, again := strings.Cut(v, " every ")
	if p.Load.Burst.Size, err = count(size, 1); err == nil && again {
		p.Load.Burst.Every, err = duration(every)
	}
	return err
}

func readGaps(p *parser, v string) (err error) {
	shape, isGamma := strings.CutPrefix(v, "gamma ")
	switch {
	case isGamma:
		p.Load.Gaps, err = positive(shape)
	case v == "poisson":
		p.Load.Gaps = 1
	case v != "even":
		err = fmt.Errorf("%q", v)
	}
	return err
}

func readSystem(p *parser, v string) (err error) {
	number, size, ok := strings.Cut(v, " of ")
	if !ok {
		return fmt.Errorf("%q", v)
	}
	if p.Load.System, err = count(number, 1); err != nil {
		return err
	}
	if tokens, ok := strings.CutSuffix(size, " tokens"); ok {
		p.Load.SystemTokens, err = count(tokens, 1)
		return err
	}
	p.Load.SystemPart, err = load.ParseAmount(size, share)
	if err == nil && p.Load.SystemPart.Kind != "" {
		err = fmt.Errorf("%q varies, and agents share a system prompt", size)
	}
	return err
}

// share refuses a number that is not a percentage of something.
func share(v string) (float64, error) { return 0, fmt.Errorf("%q", v) }

func readCompact(p *parser, v string) (err error) {
	at, to, ok := strings.Cut(v, " to ")
	if !ok {
		return fmt.Errorf("%q", v)
	}
	if p.Load.Compact.At, err = load.ParseAmount(at, number); err == nil {
		p.Load.Compact.To, err = load.ParseAmount(to, number)
	}
	return err
}

func readSubAgents(p *parser, v string) (err error) {
	s := &p.Load.SubAgents
	work, after, ok := strings.Cut(v, " calls after ")
	after, ofTurns := strings.CutSuffix(after, " of turns")
	agents, calls, some := strings.Cut(work, " of ")
	if !ok || !ofTurns || !some {
		return fmt.Errorf("%q", v)
	}
	if s.Number, err = load.ParseAmount(agents, number); err != nil {
		return err
	}
	if s.Calls, err = load.ParseAmount(calls, number); err != nil {
		return err
	}
	s.Share, err = part(after)
	return err
}

func readCancel(p *parser, v string) (err error) {
	share, after, ok := strings.Cut(v, " after ")
	if !ok {
		return fmt.Errorf("%q", v)
	}
	c := &p.Load.Cancel
	if c.Share, err = part(share); err != nil {
		return err
	}
	if pieces, ok := strings.CutSuffix(after, " pieces"); ok {
		c.Pieces, err = load.ParseAmount(pieces, number)
		return err
	}
	c.After, err = load.ParseAmount(after, timeNumber)
	return err
}

func readSlow(p *parser, v string) (err error) {
	share, rate, ok := strings.Cut(v, " at ")
	rate, isRate := strings.CutSuffix(rate, "B/s")
	if !ok || !isRate {
		return fmt.Errorf("%q", v)
	}
	if p.Load.Slow.Share, err = part(share); err == nil {
		p.Load.Slow.Rate, err = count(strings.TrimSpace(rate), 1)
	}
	return err
}

func readWarmUp(p *parser, v string) (err error) {
	w := &p.Load.WarmUp
	n, isCount := strings.CutSuffix(v, " requests")
	switch {
	case v == "auto":
		w.Auto = true
	case isCount:
		w.Requests, err = count(n, 1)
	default:
		w.Duration, err = duration(v)
	}
	return err
}

func readRuns(p *parser, v string) (err error) {
	max, until, some := strings.Cut(v, " until ")
	p.Runs, err = count(max, 1)
	if err != nil || !some {
		return err
	}
	words := strings.Fields(until)
	if len(words) != 3 || words[1] != "within" {
		return fmt.Errorf("%q", until)
	}
	if _, ok := figure.Find(words[0]); !ok {
		return fmt.Errorf("there is no %s; there are %s", words[0], figure.Names())
	}
	if p.Runs < 6 {
		return fmt.Errorf("%d runs have no interval, which takes 6", p.Runs)
	}
	p.Until = &Until{Figure: words[0]}
	p.Until.Within, err = part(words[2])
	return err
}

func readSweep(p *parser, v string) error {
	words := strings.Fields(v)
	if len(words) < 2 {
		return fmt.Errorf("%q", v)
	}
	for _, word := range words[1:] {
		l, err := level(words[0], word)
		if err != nil {
			return err
		}
		if slices.Contains(p.Levels, l) {
			return fmt.Errorf("%v is there twice", l)
		}
		p.Levels = append(p.Levels, l)
	}
	return nil
}

func readSearch(p *parser, v string) error {
	words := strings.Fields(v)
	if len(words) != 6 || words[2] != "to" || words[4] != "within" {
		return fmt.Errorf("%q", v)
	}
	low, err := level(words[0], words[1])
	if err != nil {
		return err
	}
	high, err := level(words[0], words[3])
	if err != nil {
		return err
	}
	within, err := part(words[5])
	if err != nil {
		return err
	}
	if low.Value >= high.Value {
		return fmt.Errorf("%v is not below %v", low, high)
	}
	if within < 0.001 {
		return fmt.Errorf("within %s: want 0.1%% or more", words[5])
	}
	p.Search = &Search{Kind: low.Kind, Low: low.Value, High: high.Value, Within: within}
	return nil
}
