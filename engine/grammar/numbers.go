package grammar

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// precision is the most digits of a number with bounds. A float64 tells any two numbers of 15
// digits apart, so whatever reads the number finds it on the right side of its bounds.
const precision = 15

// maxDigits is the most digits of a whole number whose bounds ask for more than precision: as
// many as 64 bits may have.
const maxDigits = 19

// A limit is a bound of a number.
type limit struct {
	decimal
	strict bool // the bound itself is excluded
	set    bool
}

// An interval holds what a schema says about a number.
type interval struct {
	whole     bool
	low, high limit
	step      decimal // a number of the interval is a multiple of it; 0 for any
	avoids    string  // and no multiple of any of these, which are written apart by blanks
}

// maxModulus bounds the automaton of the multiples of numbers.
const maxModulus = 400

// step reads the keyword multipleOf.
func (c *compiler) step(v *interval, n *node) error {
	m := n.get("multipleOf")
	if m == nil {
		return nil
	}
	if !isStep(m) {
		return c.refuse(n, "multipleOf", "must be a number over 0")
	}
	w := *v
	if w.step = decimalOf(m.text); v.step != (decimal{}) {
		w.step = commonMultiple(w.step, v.step)
	}
	return c.stepTo(v, w, n)
}

// avoid reads the opposite of the keyword multipleOf.
func (c *compiler) avoid(v *interval, n, m *node) error {
	if !isStep(m) {
		return c.refuse(n, "multipleOf", "must be a number over 0")
	}
	w := *v
	w.avoids = strings.TrimSpace(w.avoids + " " + m.text)
	return c.stepTo(v, w, n)
}

// stepTo sets v to w, unless that takes too large an automaton.
func (c *compiler) stepTo(v *interval, w interval, n *node) error {
	places, modulus := w.units()
	if places > precision || modulus.Cmp(big.NewInt(maxModulus)) > 0 {
		return c.refuse(n, "multipleOf", fmt.Sprintf("is supported up to %d, counted in units "+
			"of its last digit, together with others", maxModulus))
	}
	*v = w
	return nil
}

func isStep(m *node) bool {
	return m.kind == '0' && m.text[0] != '-' && decimalOf(m.text) != (decimal{})
}

// units returns the number of digits after the point of the interval's step and of those that it
// avoids, and their least common multiple in units of the last of these digits.
func (v interval) units() (places int, modulus *big.Int) {
	all := decimal{whole: "1"}
	if v.step != (decimal{}) {
		all = v.step
	}
	for _, a := range v.avoided() {
		all = commonMultiple(all, a)
		places = max(places, len(a.frac))
	}
	places = max(places, len(v.step.frac))
	return places, all.scaled(places)
}

// avoided returns the divisors that numbers of the interval must not be multiples of.
func (v interval) avoided() (list []decimal) {
	for text := range strings.FieldsSeq(v.avoids) {
		list = append(list, decimalOf(text))
	}
	return list
}

// commonMultiple returns the least common multiple.
func commonMultiple(a, b decimal) decimal {
	places := max(len(a.frac), len(b.frac))
	m, n := a.scaled(places), b.scaled(places)
	g := new(big.Int).GCD(nil, nil, m, n)
	digits := new(big.Int).Div(new(big.Int).Mul(m, n), g).String()
	return decimalOf(fmt.Sprintf("%se-%d", digits, places))
}

// numberOf compiles the numbers of a conjunction.
func (c *compiler) numberOf(f *conjunction, types typeSet) (symbol, error) {
	v, err := c.interval(f)
	if err != nil {
		return 0, err
	}
	v.whole = types&fractionType == 0
	if types&integerType == 0 {
		v.avoids = strings.TrimSpace(v.avoids + " 1")
	}
	var points []decimal
	for _, d := range f.denied() {
		if d.kind == '0' {
			points = append(points, decimalOf(d.text))
		}
	}
	slices.SortFunc(points, decimal.compare)
	// What is left between the numbers that are excluded.
	var alternatives [][]symbol
	for _, p := range slices.Compact(points) {
		below := v
		below.lower(limit{p, true, true})
		if !below.empty() {
			alternatives = append(alternatives, []symbol{c.numeric(below)})
		}
		v.raise(limit{p, true, true})
	}
	if len(alternatives) == 0 {
		return c.numeric(v), nil
	}
	if !v.empty() {
		alternatives = append(alternatives, []symbol{c.numeric(v)})
	}
	return c.oneOf(alternatives...), nil
}

// raise and lower narrow an interval.
func (v *interval) raise(l limit) {
	c := l.compare(v.low.decimal)
	if !v.low.set || c > 0 || c == 0 && l.strict {
		v.low = l
	}
}

func (v *interval) lower(l limit) {
	c := l.compare(v.high.decimal)
	if !v.high.set || c < 0 || c == 0 && l.strict {
		v.high = l
	}
}

// empty reports whether the bounds leave no number.
func (v *interval) empty() bool {
	if !v.low.set || !v.high.set {
		return false
	}
	c := v.low.compare(v.high.decimal)
	return c > 0 || c == 0 && (v.low.strict || v.high.strict)
}

// numeric compiles the numbers of an interval. Equal intervals share their rules.
func (c *compiler) numeric(v interval) symbol {
	sym, ok := c.intervals[v]
	if !ok {
		sym = c.between(v)
		c.intervals[v] = sym
	}
	return sym
}

// between compiles the numbers of an interval: those from 0 on, and behind a minus the magnitudes
// of the others.
func (c *compiler) between(v interval) symbol {
	n := numbers{compiler: c, whole: v.whole, digits: precision, places: -1, modulus: 1}
	n.setMultiples(v)
	if !n.setDigits(&v) {
		return c.oneOf()
	}
	if !v.low.set && !v.high.set && n.places < 0 && n.avoids == nil {
		if v.whole {
			return c.anyInteger
		}
		return c.anyNumber
	}
	var alternatives [][]symbol
	if !v.high.set || !v.high.negative {
		low := v.low
		if low.negative {
			low = limit{}
		}
		alternatives = append(alternatives, []symbol{n.from(low, v.high)})
	}
	if !v.low.set || v.low.negative {
		low := v.high
		if !v.high.negative {
			low = limit{}
			// -0 equals 0, which the upper bound may exclude.
			if v.high.set && v.high.strict && v.high.whole+v.high.frac == "" {
				low = limit{strict: true, set: true}
			}
		}
		alternatives = append(alternatives, []symbol{c.literal("-"), n.from(low, v.low)})
	}
	return c.oneOf(alternatives...)
}

// setMultiples sets what the numbers of an interval are multiples of, and what they are not.
func (n *numbers) setMultiples(v interval) {
	if v.step != (decimal{}) || v.avoids != "" {
		places, modulus := v.units()
		n.units, n.modulus = places, int(modulus.Int64())
		for _, a := range v.avoided() {
			n.avoids = append(n.avoids, int(a.scaled(places).Int64()))
		}
	}
	if v.step != (decimal{}) {
		n.places = n.units
		n.step = int(v.step.scaled(n.units).Int64())
	}
}

// setDigits sets how many digits the numbers of an interval have at most, and moves its bounds to
// numbers of so many digits. It returns false if no number of the interval can be written.
func (n *numbers) setDigits(v *interval) bool {
	if v.low.set && !v.low.negative && len(v.low.whole) > n.digits ||
		v.high.set && v.high.negative && len(v.high.whole) > n.digits {
		// All numbers have more digits than usual. Beyond 2^53 a float64 does not tell neighbours
		// apart, but up to 10^19 it does tell numbers apart that differ by 4096.
		if n.digits = maxDigits; !v.whole {
			return false
		}
		v.low, v.high = v.low.inward(4096), v.high.inward(-4096)
	} else {
		v.low, v.high = v.low.rounded(false), v.high.rounded(true)
	}
	// Bounds beyond the digits that the grammar writes are none.
	if v.low.set && v.low.negative && len(v.low.whole) > n.digits {
		v.low = limit{}
	}
	if v.high.set && !v.high.negative && len(v.high.whole) > n.digits {
		v.high = limit{}
	}
	return true
}

// from returns the rule for the numbers between two bounds that are not negative.
func (n numbers) from(low, high limit) symbol {
	n.low, n.high = low, high
	n.known = make(map[numberState]symbol)
	return n.state(numberState{})
}

// rounded moves a strict bound of more than 15 digits inward to one of 15 digits. up tells that it
// is an upper bound.
func (l limit) rounded(up bool) limit {
	digits := strings.TrimLeft(l.whole+l.frac, "0")
	extra := len(digits) - precision
	if !l.set || !l.strict || extra <= 0 {
		return l
	}
	n, _ := new(big.Int).SetString(digits, 10)
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(extra)), nil)
	n.Div(n, unit)
	if l.negative == up { // inward is away from zero
		n.Add(n, big.NewInt(1))
	}
	n.Mul(n, unit)
	text := n.String()
	text = strings.Repeat("0", max(0, len(l.frac)+1-len(text))) + text
	cut := len(text) - len(l.frac)
	l.whole, l.frac = strings.TrimLeft(text[:cut], "0"), strings.TrimRight(text[cut:], "0")
	return l
}

// inward replaces a strict bound of a large whole number by the one that is by away.
func (l limit) inward(by int64) limit {
	if !l.set || !l.strict {
		return l
	}
	n, _ := new(big.Int).SetString("0"+l.whole, 10)
	if l.negative {
		n.Neg(n)
	}
	return limit{decimal: decimalOf(n.Add(n, big.NewInt(by)).String()), set: true}
}

// numbers makes the automaton of numbers that are not negative.
type numbers struct {
	*compiler
	whole     bool
	digits    int   // the most digits of a number
	low, high limit // none of them negative
	places    int   // the most digits after the point, -1 for any
	units     int   // the digits after the point that count for the following
	modulus   int   // all of the following divide it
	step      int   // the number times 10 to the power of units is a multiple of it; 0 for any
	avoids    []int // and of none of these
	known     map[numberState]symbol
}

// A numberState is what matters of the digits of a number so far.
type numberState struct {
	before, after int  // the number of digits before and after the point
	zero          bool // the digits so far are a zero before the point
	point         bool // the point is written
	low, high     int8 // how the digits so far compare with as many digits of the bounds
	rest          int  // by modulus
	beyond        bool // a digit after the units is not 0
}

// state makes the rule for what may follow.
func (n *numbers) state(s numberState) symbol {
	if sym, ok := n.known[s]; ok {
		return sym
	}
	if s.point && n.places < 0 && (n.avoids == nil || s.beyond) &&
		(!n.low.set || s.low > 0) && (!n.high.set || s.high < 0) {
		// Whatever the digits, the number is in the interval.
		return n.repeat(n.oneDigit, 1-min(s.after, 1), n.digits-s.before-s.after)
	}
	var alternatives [][]symbol
	if (s.zero || s.before > 0) && (!s.point || s.after > 0) && n.within(s) {
		alternatives = append(alternatives, nil)
	}
	if next, ok := n.pointed(s); ok {
		alternatives = append(alternatives, []symbol{n.bytes(".."), n.state(next)})
	}
	var next []numberState // by group of digits that lead to the same state
	var sets []class
	for d := byte('0'); d <= '9'; d++ {
		to, ok := n.digit(s, d)
		if !ok {
			continue
		}
		i := slices.Index(next, to)
		if i < 0 {
			i, next, sets = len(next), append(next, to), append(sets, class{})
		}
		sets[i].add(d, d)
	}
	for i, to := range next {
		alternatives = append(alternatives, []symbol{n.class(sets[i]), n.state(to)})
	}
	sym := n.oneOf(alternatives...)
	n.known[s] = sym
	return sym
}

// compared returns how the whole part of a number that ends at s compares with a bound.
func (s numberState) compared(l limit, prefix int8) int8 {
	if s.before != len(l.whole) {
		return int8(2*btoi(s.before > len(l.whole)) - 1)
	}
	return prefix
}

// within reports whether a number that ends at s is in the interval.
func (n *numbers) within(s numberState) bool {
	low, high := s.low, s.high
	if !s.point {
		low, high = s.compared(n.low, low), s.compared(n.high, high)
	}
	if n.low.set && (low < 0 || low == 0 && (s.after < len(n.low.frac) || n.low.strict)) {
		return false
	}
	if n.high.set && (high > 0 || high == 0 && s.after >= len(n.high.frac) && n.high.strict) {
		return false
	}
	rest := s.rest
	for range max(0, n.units-s.after) {
		rest = rest * 10 % n.modulus
	}
	if n.step > 0 && (s.beyond || rest%n.step != 0) {
		return false
	}
	return s.beyond || !slices.ContainsFunc(n.avoids, func(a int) bool { return rest%a == 0 })
}

// pointed returns the state after a point.
func (n *numbers) pointed(s numberState) (numberState, bool) {
	if n.whole || s.point || !s.zero && s.before == 0 || s.before >= n.digits || n.places == 0 {
		return s, false
	}
	if n.low.set {
		s.low = s.compared(n.low, s.low)
	}
	if n.high.set {
		s.high = s.compared(n.high, s.high)
	}
	s.point = true
	return s, s.low >= 0 && s.high <= 0
}

// digit returns the state after a digit.
func (n *numbers) digit(s numberState, d byte) (numberState, bool) {
	place := s.before
	if s.point {
		place = s.after
		if s.before+s.after >= n.digits || n.places >= 0 && s.after >= n.places {
			return s, false
		}
		s.after++
	} else {
		if s.zero || s.before >= n.digits {
			return s, false
		}
		if d == '0' && s.before == 0 {
			s.zero = true
		} else {
			s.before++
		}
	}
	if !s.zero || s.point {
		s.low = compareDigit(s.low, n.low, s.point, place, d)
		s.high = compareDigit(s.high, n.high, s.point, place, d)
	}
	if s.point && place >= n.units {
		s.beyond = s.beyond || n.avoids != nil && d != '0'
	} else {
		s.rest = (s.rest*10 + int(d-'0')) % n.modulus
	}
	return s, !s.point || s.low >= 0 && s.high <= 0
}

// compareDigit carries a comparison with a bound on by one digit.
func compareDigit(so int8, l limit, point bool, place int, d byte) int8 {
	digits := l.whole
	if point {
		digits = l.frac
	}
	bound := byte('0')
	switch {
	case !l.set || so != 0:
		return so
	case place < len(digits):
		bound = digits[place]
	case !point:
		return 1 // longer than the bound
	}
	if d == bound {
		return 0
	}
	return int8(2*btoi(d > bound) - 1)
}
