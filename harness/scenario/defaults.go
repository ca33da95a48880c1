package scenario

import (
	_ "embed"
	"fmt"
	"strings"

	"loadstone/harness/load"
)

// defaults fills in what was not given and refuses what does not fit together.
func (p *parser) defaults(s section) error {
	turned, given, err := p.arrival(s)
	if err != nil {
		return err
	}
	if err := p.fit(s, turned); err != nil {
		return err
	}
	l := &p.Load
	if (turned == "rate" || p.Has("rate")) && !p.Has("gaps") {
		l.Gaps = 1
	}
	if !given {
		*l = l.At(p.first())
	}
	p.fill()
	return nil
}

// conflict is the error of two keys that do not go together.
func (p *parser) conflict(s section, a, b, why string) error {
	return fmt.Errorf("%s:%d: %s and %s: %s", s.file, max(p.set[a], p.set[b]), a, b, why)
}

// arrival looks whether the load says when its agents arrive and when it ends. It returns what a
// sweep or a search turns, and whether a kind of arrival is given beside.
func (p *parser) arrival(s section) (turned string, given bool, err error) {
	all := []string{"concurrency", "together", "rate", "burst", "trace"}
	sessions := p.Load.Sessions != nil
	var kinds []string
	for _, key := range all {
		if p.Has(key) && !(key == "trace" && sessions) {
			kinds = append(kinds, key)
		}
	}
	turned = p.first().Kind
	switch {
	case len(kinds) == 0 && turned == "" && sessions:
		return "", true, nil // readTrace has said when they come
	case len(kinds) == 0 && turned == "":
		err = fmt.Errorf("%s:%d: the load does not say when its agents arrive; want one of %s",
			s.file, s.line, strings.Join(all, ", "))
	case len(kinds) > 1:
		err = p.conflict(s, kinds[0], kinds[1], "a load has only one of "+strings.Join(all, ", "))
	case len(kinds) == 1 && turned != "" && kinds[0] != turned:
		err = p.conflict(s, kinds[0], p.turner(), "they vary different things")
	case p.Has("search") && p.Until != nil:
		err = p.conflict(s, "search", "runs", "a search has as many runs at every level")
	case p.Has("sweep") && p.Has("search"):
		err = p.conflict(s, "sweep", "search", "only one of them")
	case p.Has("requests"), p.Has("jobs"), p.Has("duration"), p.Has("trace"), p.Has("together"):
	case p.Has("burst") && p.Load.Burst.Every == 0:
	default:
		err = fmt.Errorf("%s:%d: the load has no end; want requests, jobs or duration", s.file, s.line)
	}
	return turned, len(kinds) > 0, err
}

// fit refuses keys that mean nothing in such a load.
func (p *parser) fit(s section, turned string) error {
	for _, pair := range [][2]string{{"gaps", "rate"}, {"ramp-up", "concurrency"},
		{"speed", "trace"}, {"lengths", "trace"}, {"timestamps", "trace"},
		{"rounds", "together"}, {"reserve", "together"}} {
		if key, needs := pair[0], pair[1]; p.Has(key) && !p.Has(needs) && turned != needs {
			return fmt.Errorf("%s:%d: %s needs a load with %s", s.file, p.set[key], key, needs)
		}
	}
	for _, key := range []string{"answers", "answer-length", "idle", "overflow", "salt"} {
		if p.Has(key) && p.Load.Sessions == nil {
			return fmt.Errorf("%s:%d: %s needs a trace of sessions", s.file, p.set[key], key)
		}
	}
	if p.Has("context") && !p.Load.OfContext() &&
		(p.Load.Replay.Overflow == "" || p.Load.Replay.Overflow == load.Send) {
		return fmt.Errorf("%s:%d: context needs amounts of the context, or an overflow of skip, cut or "+
			"compact", s.file, p.set["context"])
	}
	for _, key := range []string{"turns", "prompt", "follow-up", "answer", "system",
		"fan-out", "compact",
		"sub-agents"} {
		if p.Has("trace") && p.Has(key) {
			return p.conflict(s, "trace", key, "a trace brings its own prompts and answers")
		}
	}
	if (p.Has("compact") || p.Has("sub-agents")) && p.Has("fan-out") {
		return p.conflict(s, "fan-out", map[bool]string{true: "compact",
			false: "sub-agents"}[p.Has("compact")], "questions beside each other are what sub-agents ask")
	}
	if p.Load.SystemPrompts != nil && p.Has("system") {
		return fmt.Errorf("%s:%d: the system prompts are written in sections of their own", s.file,
			p.set["system"])
	}
	if p.Search != nil {
		if p.Search.Limits = p.Expect; len(p.Expect) == 0 {
			return fmt.Errorf("%s:%d: a search needs limits to search under; want a section expect",
				s.file, p.set["search"])
		}
	}
	return nil
}

func (p *parser) turner() string {
	if p.Search != nil {
		return "search"
	}
	return "sweep"
}

// first is the level that a sweep or search begins with.
func (p *parser) first() load.Level {
	if p.Search != nil {
		return load.Level{Kind: p.Search.Kind, Value: p.Search.Low}
	}
	if len(p.Levels) > 0 {
		return p.Levels[0]
	}
	return load.Level{}
}

// fill gives what was left out a value.
func (p *parser) fill() {
	if !p.Has("seed") {
		p.seeds(1)
	}
	p.Load = p.Load.Filled()
}
