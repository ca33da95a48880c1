package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// table is a scale's table in Markdown: a row for each series, a column for each size.
func (s *scale) table() string {
	sizes := s.sizes()
	var b strings.Builder
	b.WriteString("| " + s.size)
	for _, n := range sizes {
		b.WriteString(" | " + count(n))
	}
	b.WriteString(" | exponent |\n|---|" + strings.Repeat("---:|", len(sizes)+1) + "\n")
	for _, x := range s.ordered() {
		b.WriteString("| " + x.label())
		for _, n := range sizes {
			i := slices.IndexFunc(x.points, func(p point) bool { return p.size == n })
			if i < 0 {
				b.WriteString(" | ")
				continue
			}
			b.WriteString(" | " + amount(x.points[i].value, x.unit))
		}
		e := ""
		if v := x.exponent(); !math.IsNaN(v) {
			e = strconv.FormatFloat(math.Round(v*10)/10+0, 'f', 1, 64) // no -0.0
		}
		b.WriteString(" | " + e + " |\n")
	}
	return b.String()
}

func (s *scale) sizes() (all []int) {
	for _, x := range s.series {
		for _, p := range x.points {
			all = append(all, p.size)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ordered returns the series, each behind what it was before.
func (s *scale) ordered() (all []*series) {
	for _, x := range s.series {
		if x.before && slices.ContainsFunc(s.series, x.isBefore) {
			continue
		}
		for _, old := range s.series {
			if old.isBefore(x) {
				all = append(all, old)
			}
		}
		all = append(all, x)
	}
	return all
}

// isBefore reports whether a series is what another was before.
func (x *series) isBefore(now *series) bool {
	return x.before && !now.before && x.what == now.what && x.unit == now.unit
}

func (x *series) label() string {
	text := x.what
	if x.unit != "sec/op" {
		text += ", " + strings.ReplaceAll(strings.ReplaceAll(x.unit, "-sec", ""), "sec/", "time/")
	}
	if x.before {
		text += ", before"
	}
	return text
}

// count writes a size, in groups of three digits.
func count(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s %03d", count(n/1000), n%1000)
}

// amount writes a value with three digits.
func amount(v float64, unit string) string {
	switch {
	case strings.Contains(unit, "sec"):
		return scaled(v, []string{"ns", "µs", "ms", "s"}, 1e-9)
	case strings.HasPrefix(unit, "B/"):
		return scaled(v, []string{"B", "kB", "MB", "GB"}, 1)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// scaled writes a value in the largest of several units, each a thousand times the one before, in
// which it is not less than 1. one is the first.
func scaled(v float64, units []string, one float64) string {
	i := 0
	for v /= one; v >= 999.5 && i+1 < len(units); i++ {
		v /= 1000
	}
	digits := 0
	switch {
	case v < 9.995:
		digits = 2
	case v < 99.95:
		digits = 1
	}
	return fmt.Sprintf("%s %s", strconv.FormatFloat(v, 'f', digits, 64), units[i])
}
