package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Pixels of a plot: a panel for each kind of unit, side by side, and names of lines to the right of
// each.
const (
	panelWidth, panelHeight = 380.0, 300.0
	left, top, bottom       = 64.0, 34.0, 44.0
	names                   = 150.0
)

// colours are distinct to most who see colours differently (Okabe and Ito, 2008).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000", "#e69f00"}

// svg is a scale's plot, all axes being logarithmic. What was before is dashed.
func (s *scale) svg() []byte {
	kinds := s.kinds()
	width := float64(len(kinds)) * (panelWidth + names)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" `+
		`width="%.0f" height="%.0f" font-family="sans-serif" font-size="12">`+"\n",
		width, panelHeight, width, panelHeight)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#fff"/>`+"\n", width, panelHeight)
	for i, k := range kinds {
		fmt.Fprintf(&b, `<g transform="translate(%.0f 0)">`+"\n", float64(i)*(panelWidth+names))
		s.panel(&b, k)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// kind returns what a unit measures, which shares a panel.
func kind(unit string) string {
	switch {
	case strings.Contains(unit, "sec"):
		return "time"
	case strings.HasPrefix(unit, "B/"):
		return "memory"
	}
	return unit
}

func (s *scale) kinds() (all []string) {
	for _, x := range s.series {
		if k := kind(x.unit); !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	return all
}

// An axis maps values to pixels, equal ratios to equal distances. Its ends are powers of ten.
type axis struct{ lo, hi, from, to float64 }

func newAxis(values []float64, from, to float64) axis {
	lo, hi := slices.Min(values), slices.Max(values)
	lo = math.Pow(10, math.Floor(math.Log10(lo)+1e-9))
	hi = math.Pow(10, math.Ceil(math.Log10(hi)-1e-9))
	return axis{lo, max(hi, 10*lo), from, to}
}

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*math.Log(v/a.lo)/math.Log(a.hi/a.lo)
}

// ticks returns the powers of ten.
func (a axis) ticks() (all []float64) {
	for v := a.lo; v <= a.hi*1.001; v *= 10 {
		all = append(all, v)
	}
	return all
}

// panel draws the series of one kind.
func (s *scale) panel(b *bytes.Buffer, k string) {
	var shown []*series
	var values, sizes []float64
	for _, x := range s.ordered() {
		if kind(x.unit) != k {
			continue
		}
		shown = append(shown, x)
		for _, p := range x.points {
			values, sizes = append(values, max(p.value, 1e-9)), append(sizes, max(float64(p.size), 0.5))
		}
	}
	x := axis{slices.Min(sizes), slices.Max(sizes), left, panelWidth}
	y := newAxis(values, panelHeight-bottom, top)
	s.axes(b, x, y, shown[0].unit, k)
	colour := map[string]string{} // by label of what is now
	var at []float64              // of names
	for _, one := range shown {
		now := strings.TrimSuffix(one.label(), ", before")
		if colour[now] == "" {
			colour[now] = colours[len(colour)%len(colours)]
		}
		dash := ""
		if one.before {
			dash = ` stroke-dasharray="5 4" opacity="0.7"`
		}
		var path strings.Builder
		for i, p := range one.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], x.at(max(float64(p.size), 0.5)),
				y.at(max(p.value, 1e-9)))
		}
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.8"%s/>`+"\n", &path,
			colour[now], dash)
		end := one.points[len(one.points)-1]
		name := free(at, y.at(max(end.value, 1e-9)))
		at = append(at, name)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", x.at(float64(end.size))+6,
			name+4, colour[now], html.EscapeString(one.label()))
	}
}

// free returns the place nearest to a wanted one at which a name overlaps none of those at others.
func free(others []float64, wanted float64) float64 {
	const line = 13
	for d := 0.0; ; d += 1 {
		for _, y := range []float64{wanted - d, wanted + d} {
			if !slices.ContainsFunc(others, func(o float64) bool { return math.Abs(o-y) < line }) {
				return y
			}
		}
	}
}

func (s *scale) axes(b *bytes.Buffer, x, y axis, unit, k string) {
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", x1, y1,
			x2, y2)
	}
	for _, v := range y.ticks() {
		line(x.from, y.at(v), x.to, y.at(v))
		label := amount(v, unit)
		for _, zeros := range []string{".00 ", ".0 "} {
			label = strings.Replace(label, zeros, " ", 1)
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end" fill="#444">%s</text>`+"\n",
			x.from-6, y.at(v)+4, label)
	}
	last := math.Inf(-1)
	for _, n := range s.sizes() {
		at := x.at(max(float64(n), 0.5))
		if at < x.from-1 || at > x.to+1 || at-last < 40 {
			continue
		}
		last = at
		line(at, y.from, at, y.to)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#444">%s</text>`+"\n", at,
			y.from+16, count(n))
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", (x.from+x.to)/2,
		y.from+34, s.size)
	fmt.Fprintf(b, `<text x="%.1f" y="18" font-weight="bold">%s</text>`+"\n", x.from,
		html.EscapeString(k))
}
