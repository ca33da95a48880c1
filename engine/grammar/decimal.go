package grammar

import (
	"math/big"
	"strconv"
	"strings"
)

// A decimal is a number as JSON writes it, exactly: whole and frac are the digits before and after
// the point, without zeros at the outer ends.
type decimal struct {
	negative    bool
	whole, frac string
}

// decimalOf reads a number of JSON. Exponents beyond 400 become 400: floating-point numbers end
// before.
func decimalOf(text string) decimal {
	var d decimal
	text, d.negative = strings.CutPrefix(text, "-")
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
		e, err := strconv.Atoi(text[i+1:])
		if err != nil { // out of range
			e = 400
			if strings.Contains(text[i:], "-") {
				e = -400
			}
		}
		exponent = max(-400, min(400, e))
	}
	d.whole, d.frac, _ = strings.Cut(mantissa, ".")
	if exponent > 0 {
		d.frac += strings.Repeat("0", max(0, exponent-len(d.frac)))
		d.whole, d.frac = d.whole+d.frac[:exponent], d.frac[exponent:]
	} else if exponent < 0 {
		d.whole = strings.Repeat("0", max(0, -exponent-len(d.whole))) + d.whole
		cut := len(d.whole) + exponent
		d.whole, d.frac = d.whole[:cut], d.whole[cut:]+d.frac
	}
	d.whole, d.frac = strings.TrimLeft(d.whole, "0"), strings.TrimRight(d.frac, "0")
	d.negative = d.negative && d.whole+d.frac != ""
	return d
}

// compare returns -1, 0 or 1 if a is less than b, equal or more.
func (a decimal) compare(b decimal) int {
	switch {
	case a.negative && !b.negative:
		return -1
	case b.negative && !a.negative:
		return 1
	case a.negative:
		a, b = b, a
	}
	if len(a.whole) != len(b.whole) {
		return 2*btoi(len(a.whole) > len(b.whole)) - 1
	}
	if c := strings.Compare(a.whole, b.whole); c != 0 {
		return c
	}
	return strings.Compare(a.frac, b.frac)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// isWhole reports whether the number has no fraction.
func (a decimal) isWhole() bool { return a.frac == "" }

// scaled returns the number times 10 to the power of places, which must make it whole.
func (a decimal) scaled(places int) *big.Int {
	n, _ := new(big.Int).SetString("0"+a.whole+a.frac+strings.Repeat("0", places-len(a.frac)), 10)
	return n
}

// int returns the number if it is a whole number that is not negative. Numbers over a thousand
// million become that.
func (a decimal) int() (n int, ok bool) {
	if a.negative || a.frac != "" {
		return 0, false
	}
	if len(a.whole) > 9 {
		return 1e9, true
	}
	n, _ = strconv.Atoi("0" + a.whole)
	return n, true
}

// multipleOf reports whether the number is a multiple of b.
func (a decimal) multipleOf(b decimal) bool {
	places := max(len(a.frac), len(b.frac))
	m := b.scaled(places)
	return m.Sign() > 0 && new(big.Int).Mod(a.scaled(places), m).Sign() == 0
}
