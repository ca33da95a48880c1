package scenario

import (
	"fmt"
	"slices"
	"strings"

	"loadstone/harness"
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

const amount = load.AmountForms

// Keys are all there are, in the order of the help.
var Keys []Key

// init, for the keys' errors list the keys.
func init() {
	Keys = []Key{
		{"name", "letters, digits, - . and _", "what it is called in the results; default: the file's or folder's name", "", func(p *parser, v string) error {
			if p.Load.Name = v; clean(v) != v {
				return fmt.Errorf("%q", v)
			}
			return nil
		}},
		{"about", "a sentence", "what the scenario is for", "", func(p *parser, v string) error { p.Load.About = v; return nil }},
		{"serve", "flags of loadstone serve", "the server's settings, where run starts it itself", "", func(p *parser, v string) error { p.Serve = strings.Fields(v); return nil }},

		{"concurrency", "a number, 1 or more", "closed loop: so many agents at a time; when one ends the next begins", "When agents arrive, one of",
			func(p *parser, v string) (err error) { p.Load.Concurrency, err = count(v, 1); return err }},
		{"rate", "4/s, 1/s to 20/s over 30s, or steps 1/s 2/s 4/s each 10s", "open loop: so many agents a second, however many are busy", "When agents arrive, one of",
			func(p *parser, v string) (err error) { p.Load.Rate, err = profile(v); return err }},
		{"burst", "20, or 20 every 5s", "open loop: so many agents at once, once or again and again", "When agents arrive, one of", readBurst},
		{"trace", "the name of a section such as trace.jsonl", "open loop: requests as recorded, Mooncake's JSON Lines", "When agents arrive, one of", func(p *parser, v string) error { p.trace = v; return nil }},

		{"gaps", "even, poisson, or gamma SHAPE", "between arrivals at a rate; gamma below 1 is bursty, 1 is poisson, the default", "How they arrive", readGaps},
		{"ramp-up", "a time", "in which the first agents of a concurrency begin, one after the other", "How they arrive",
			func(p *parser, v string) (err error) { p.Load.RampUp, err = duration(v); return err }},
		{"speed", "a number above 0", "of a trace: 10 replays it ten times as fast", "How they arrive",
			func(p *parser, v string) (err error) { p.Load.Speed, err = positive(v); return err }},
		{"lengths", "a number above 0", "of a trace: what its token counts are multiplied with", "How they arrive",
			func(p *parser, v string) (err error) { p.Load.Lengths, err = positive(v); return err }},

		{"requests", "a number, 1 or more", "sent in all, in each run", "When it ends, at least one of", func(p *parser, v string) (err error) { p.Load.Requests, err = count(v, 1); return err }},
		{"duration", "a time", "after which nothing more is due; what is on its way is waited for", "When it ends, at least one of",
			func(p *parser, v string) (err error) { p.Load.Duration, err = duration(v); return err }},

		{"turns", amount + "; or endless", "of an agent, each with the whole conversation and the server's answers; default 1", "What an agent asks",
			func(p *parser, v string) (err error) {
				if v == "endless" {
					p.Load.Turns = load.Endless
					return nil
				}
				p.Load.Turns, err = load.ParseAmount(v, number)
				return err
			}},
		{"think", amount + ", of times such as 2s", "pause between an answer and the next turn; default none", "What an agent asks",
			func(p *parser, v string) (err error) {
				p.Load.Think, err = load.ParseAmount(v, timeNumber)
				return err
			}},
		{"prompt", amount, "tokens of an agent's first question, roughly; default 64", "What an agent asks",
			func(p *parser, v string) (err error) { p.Load.Prompt, err = load.ParseAmount(v, number); return err }},
		{"follow-up", amount, "tokens of its later questions; default an eighth of prompt's", "What an agent asks",
			func(p *parser, v string) (err error) {
				p.Load.FollowUp, err = load.ParseAmount(v, number)
				return err
			}},
		{"answer", amount, "most tokens of an answer; default 16", "What an agent asks",
			func(p *parser, v string) (err error) { p.Load.Answer, err = load.ParseAmount(v, number); return err }},
		{"fan-out", amount, "questions asked in parallel after each answer; the next turn begins with their answers", "What an agent asks",
			func(p *parser, v string) (err error) { p.Load.FanOut, err = load.ParseAmount(v, number); return err }},
		{"system", "2 of 300 tokens", "so many system prompts, each agent having one of them; or write them in sections system*.txt", "What an agent asks", readSystem},

		{"cancel", "20% after AMOUNT, of times or of pieces: 20% after exponential 200ms, 5% after 3 pieces", "requests that are taken back", "What goes wrong on purpose", readCancel},
		{"slow", "10% at 2000 B/s", "answers that are read slowly; their times are kept out of the results", "What goes wrong on purpose", readSlow},
		{"timeout", "a time", "of one request; default 2m", "What goes wrong on purpose", func(p *parser, v string) (err error) { p.Load.Timeout, err = duration(v); return err }},

		{"cache", "cold, hot or restored", "what the agents' caches hold when the clock starts; default cold", "How it is measured", readCache},
		{"warm-up", "a time, 20 requests, or auto", "the beginning that is left out; auto: until latency is steady", "How it is measured", readWarmUp},
		{"goodput", limit.ObjectiveForm, "what an answer must hold to be good; goodput and good-ratio count those that do", "How it is measured",
			func(p *parser, v string) (err error) { p.Load.Goodput, err = limit.ParseObjective(v); return err }},
		{"runs", "a number, 1 or more, or 30 until p95-e2e within 5%", "rounds, each a line in bench.txt; default 1; until ends them when the figure's median is known so well", "How it is measured", readRuns},
		{"sweep", "rate 1/s 2/s 4/s, or concurrency 1 2 4 8", "a run at each level", "How it is measured", readSweep},
		{"search", "rate 1/s to 64/s within 5%, or concurrency 1 to 64 within 5%", "the highest level at which all that is expected holds", "How it is measured", readSearch},

		{"seed", "a number", "of all that is drawn at random; default 1", "Seeds", func(p *parser, v string) error {
			n, err := seed(v)
			p.seeds(n)
			return err
		}},
	}
	for _, of := range [][2]string{
		{"text", "the words of prompts"}, {"length", "tokens, turns and parallel questions"}, {"order", "which agent gets which written prompt"},
		{"schedule", "arrivals"}, {"think", "pauses"}, {"cancel", "which requests are taken back or read slowly"},
	} {
		name := "seed." + of[0]
		Keys = append(Keys, Key{name, "a number", of[1], "Seeds", func(p *parser, v string) (err error) { *p.seedKeys()[name], err = seed(v); return err }})
	}
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
	words := strings.Fields(v)
	if len(words) != 4 || words[1] != "of" || words[3] != "tokens" {
		return fmt.Errorf("%q", v)
	}
	if p.Load.System, err = count(words[0], 1); err == nil {
		p.Load.SystemTokens, err = count(words[2], 1)
	}
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

func readCache(p *parser, v string) (err error) {
	p.Load.Cache, err = load.ParseCache(v)
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
	most, until, some := strings.Cut(v, " until ")
	p.Runs, err = count(most, 1)
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
	p.Until = &harness.Until{Figure: words[0]}
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
		return fmt.Errorf("from %v to %v is no way up", low, high)
	}
	if within < 0.001 {
		return fmt.Errorf("within %s: want 0.1%% or more", words[5])
	}
	p.Search = &harness.Search{Kind: low.Kind, Low: low.Value, High: high.Value, Within: within}
	return nil
}
