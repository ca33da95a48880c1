package jinja

import (
	"math"
	"strings"
)

// equal is Python's a == b.
func (s *state) equal(a, b any) bool {
	s.spend(1)
	switch a := a.(type) {
	case Text:
		b, ok := b.(Text)
		if ok && len(a.s) == len(b.s) {
			s.spend(len(a.s) / (8 * bytesOfStep))
		}
		return ok && a.s == b.s
	case nil:
		return b == nil
	case *undefined:
		_, ok := b.(*undefined)
		return ok
	case List:
		b, ok := b.(List)
		return ok && s.equalAll(a, b)
	case Tuple, group:
		_, list := b.(List)
		x, _ := sequence(a)
		y, ok := sequence(b)
		return ok && !list && s.equalAll(x, y)
	case *Dict:
		b, ok := b.(*Dict)
		return ok && s.equalDicts(a, b)
	case *rangeValue:
		b, ok := b.(*rangeValue)
		s.spend(a.len())
		return ok && a.len() == b.len() && s.equalAll(a.items(), b.items())
	case *view:
		b, ok := b.(*view)
		if !ok || a.kind == "values" || b.kind == "values" || len(a.items) != len(b.items) {
			return any(a) == any(b)
		}
		return s.containsAll(b.items, a.items)
	}
	if _, ok := number(a); ok {
		return equalNumbers(a, b)
	}
	switch b.(type) {
	case List, Tuple, group, Text: // values that Go cannot compare
		return false
	}
	return a == b
}

// equalNumbers is a == b of a number. Whole ones are not compared as floats, which would round
// them.
func equalNumbers(a, b any) bool {
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return x == y
		}
	}
	x, _ := number(a)
	y, ok := number(b)
	return ok && x == y
}

func (s *state) equalAll(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !s.equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (s *state) equalDicts(a, b *Dict) bool {
	if len(a.keys) != len(b.keys) {
		return false
	}
	for i, k := range a.keys {
		if v, ok := b.get(s, k); !ok || !s.equal(v, a.values[i]) {
			return false
		}
	}
	return true
}

func (s *state) contains(list []any, v any) bool {
	for _, e := range list {
		if s.equal(e, v) {
			return true
		}
	}
	return false
}

func (s *state) containsAll(list, elements []any) bool {
	for _, e := range elements {
		if !s.contains(list, e) {
			return false
		}
	}
	return true
}

// order compares a with b: it is negative, 0 or positive, or NaN where one of them is NaN. op is
// the operator for the message if the types have no order.
func (s *state) order(op string, a, b any) float64 {
	s.spend(1)
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return float64(min(1, max(-1, x-y)))
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return orderFloats(x, y)
		}
	}
	if x, ok := a.(Text); ok {
		if y, ok := b.(Text); ok {
			return float64(strings.Compare(x.s, y.s)) // UTF-8 has the order of the code points
		}
	}
	_, listA := a.(List)
	_, listB := b.(List)
	x, ok := sequence(a)
	y, ok2 := sequence(b)
	if ok && ok2 && listA == listB {
		for i := range min(len(x), len(y)) {
			if !s.equal(x[i], y[i]) {
				return s.order(op, x[i], y[i])
			}
		}
		return float64(len(x) - len(y))
	}
	defined(a)
	defined(b)
	fail("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	return 0
}

// orderFloats is order of two floats.
func orderFloats(x, y float64) float64 {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	}
	return math.NaN()
}

// less is a < b for sorting.
func (s *state) less(a, b any) bool { return s.order("<", a, b) < 0 }
