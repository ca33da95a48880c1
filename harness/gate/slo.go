package gate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchmath"
)

// An SLO is an absolute limit on a unit, such as p99-e2e<5s or hit-ratio>80%.
type SLO struct {
	Unit  string // short
	Op    string // < <= > >=
	Limit float64
	Text  string
}

// ParseSLOs reads a list of limits, separated by commas. Times have a unit of time, ratios may be in percent.
func ParseSLOs(s string) ([]SLO, error) {
	var all []SLO
	for text := range strings.SplitSeq(s, ",") {
		text = strings.TrimSpace(text)
		i := strings.IndexAny(text, "<>")
		if i <= 0 {
			return nil, fmt.Errorf("%q is no limit; want one like p99-e2e<5s", text)
		}
		slo := SLO{Unit: short(strings.TrimSpace(text[:i])), Op: text[i : i+1], Text: text}
		value := text[i+1:]
		if strings.HasPrefix(value, "=") {
			slo.Op, value = slo.Op+"=", value[1:]
		}
		var err error
		slo.Limit, err = quantity(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		all = append(all, slo)
	}
	return all, nil
}

// quantity reads 500ms as 0.5, 80% as 0.8 and 100 as 100.
func quantity(s string) (float64, error) {
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
		return d.Seconds(), nil
	}
	f, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || f != f {
		return 0, fmt.Errorf("%q is no time, percentage or number", s)
	}
	if strings.HasSuffix(s, "%") {
		f /= 100
	}
	return f, nil
}

func (s SLO) holds(v float64) bool {
	switch s.Op {
	case "<":
		return v < s.Limit
	case "<=":
		return v <= s.Limit
	case ">":
		return v > s.Limit
	}
	return v >= s.Limit
}

// An SLOResult is one limit on one scenario.
type SLOResult struct {
	SLO
	Scenario string
	Full     string // the unit as the file has it, tidied
	Runs     int
	Got      benchmath.Summary // median of the runs with its 95 % interval
	Met      bool              // by the median
	Sure     bool              // by the whole interval, too
}

// CheckSLOs holds one file, o.Head, to limits. Every limit must find its unit, and in every scenario that is looked at.
func CheckSLOs(o Options, slos []SLO) ([]SLOResult, error) {
	p, err := read([]string{headSide + "=" + o.Head}, &o)
	if err != nil {
		return nil, err
	}
	if err := p.must(headSide, o.Head, &o); err != nil {
		return nil, err
	}
	o.All, o.Units = true, nil
	if err := p.choose(&o); err != nil {
		return nil, err
	}
	if mixed := p.unlike(headSide, headSide); len(mixed) > 0 {
		return nil, errors.New(mixed[0].String() + "; choose with -filter")
	}
	byName := map[string]map[string]*samples{}
	var names []string
	var units []string
	for _, s := range p.cells {
		if byName[s.name] == nil {
			byName[s.name] = map[string]*samples{}
			names = append(names, s.name)
		}
		if len(names) == 1 {
			units = append(units, short(s.unit))
		}
		byName[s.name][short(s.unit)] = s
	}
	var all []SLOResult
	for _, slo := range slos {
		for _, name := range names {
			s := byName[name][slo.Unit]
			if s == nil {
				return nil, fmt.Errorf("%s: %s has no %s; it has %s", slo.Text, scenario(name), slo.Unit, strings.Join(units, ", "))
			}
			r := SLOResult{SLO: slo, Scenario: scenario(name), Full: s.unit, Runs: len(s.values[headSide]), Got: summary(s.values[headSide])}
			r.Met = slo.holds(r.Got.Center)
			r.Sure = slo.holds(r.Got.Lo) && slo.holds(r.Got.Hi)
			all = append(all, r)
		}
	}
	return all, nil
}
