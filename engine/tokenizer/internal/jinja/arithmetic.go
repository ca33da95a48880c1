package jinja

import (
	"math"
	"math/bits"
	"strings"
)

// arithmetic is Python's a op b.
func arithmetic(s *state, op string, a, b any) any {
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return integers(op, x, y)
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return floats(op, x, y)
		}
	}
	s.spend(size(a) + size(b))
	switch op {
	case "+":
		if v, ok := add(a, b); ok {
			s.spend(size(v) * elementsScan / elementsBuild)
			return v
		}
	case "*":
		if n, ok := integer(b); ok {
			if v, ok := repeat(a, n); ok {
				s.spend(size(v))
				return v
			}
		}
		if n, ok := integer(a); ok {
			if v, ok := repeat(b, n); ok {
				s.spend(size(v))
				return v
			}
		}
	case "%":
		if t, ok := a.(Text); ok {
			return percent(s, t, b)
		}
	}
	defined(a)
	defined(b)
	fail("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(a), typeName(b))
	return nil
}

// add joins two texts, lists or tuples.
func add(a, b any) (any, bool) {
	switch a := a.(type) {
	case Text:
		if b, ok := b.(Text); ok {
			if a.html || b.html {
				return joinMarkup(a, b), true
			}
			return concat(a, b), true
		}
	case List:
		if b, ok := b.(List); ok {
			listFits(len(a) + len(b))
			return append(a[:len(a):len(a)], b...), true
		}
	case Tuple, group:
		if _, list := b.(List); list {
			return nil, false
		}
		x, _ := sequence(a)
		if y, ok := sequence(b); ok {
			listFits(len(x) + len(y))
			return Tuple(append(x[:len(x):len(x)], y...)), true
		}
	}
	return nil, false
}

func listFits(n int) {
	if n > maxList {
		fail("a list of more than %d elements is too long", maxList)
	}
}

// repeat is a * n of text and lists.
func repeat(a any, n int) (any, bool) {
	n = max(n, 0)
	limit := func(size int) {
		if size > 0 && n > maxText/size {
			fail("a text or list of %d times %d is too long", n, size)
		}
	}
	switch a := a.(type) {
	case Text:
		limit(len(a.s))
		if len(a.spans) == 0 {
			return Text{s: strings.Repeat(a.s, n), html: a.html}, true
		}
		var b builder
		for range n {
			b.text(a)
		}
		return b.result(), true
	case List:
		limit(maxText / maxList * len(a))
		list := make(List, 0, n*len(a))
		for range n {
			list = append(list, a...)
		}
		return list, true
	case Tuple:
		v, _ := repeat(List(a), n)
		return Tuple(v.(List)), true
	}
	return nil, false
}

func integers(op string, x, y int) any {
	switch op {
	case "+":
		if z := x + y; (z > x) == (y > 0) {
			return z
		}
	case "-":
		return sub(x, y)
	case "*":
		if z, ok := mul(x, y); ok {
			return z
		}
	case "/":
		if y == 0 {
			fail("division by zero")
		}
		return float64(x) / float64(y)
	case "//", "%":
		if y == 0 {
			fail("integer division or modulo by zero")
		}
		if x == math.MinInt && y == -1 {
			break
		}
		q, r := x/y, x%y
		if r != 0 && (r < 0) != (y < 0) {
			q, r = q-1, r+y
		}
		if op == "%" {
			return r
		}
		return q
	case "**":
		if y < 0 {
			if x == 0 {
				fail("0.0 cannot be raised to a negative power")
			}
			return math.Pow(float64(x), float64(y))
		}
		if z, ok := power(x, y); ok {
			return z
		}
	}
	fail("the integer %d %s %d is too large", x, op, y)
	return nil
}

func sub(x, y int) int {
	z := x - y
	if (z < x) != (y > 0) {
		fail("the integer %d - %d is too large", x, y)
	}
	return z
}

func mul(x, y int) (int, bool) {
	negative := (x < 0) != (y < 0)
	hi, lo := bits.Mul64(magnitude(x), magnitude(y))
	if hi != 0 || lo > math.MaxInt {
		return 0, false
	}
	if negative {
		return -int(lo), true
	}
	return int(lo), true
}

func magnitude(x int) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

func power(x, y int) (int, bool) {
	z := 1
	if x == 0 || x == 1 || x == -1 { // any exponent is possible
		if x != 0 && y%2 == 0 || y == 0 {
			return 1, true
		}
		return x, true
	}
	for range y {
		var ok bool
		if z, ok = mul(z, x); !ok {
			return 0, false
		}
	}
	return z, true
}

func floats(op string, x, y float64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		z := math.Pow(x, y)
		if x == 0 && y < 0 {
			fail("0.0 cannot be raised to a negative power")
		}
		if math.IsInf(z, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
			fail("the number %v ** %v is too large", x, y)
		}
		if math.IsNaN(z) && !math.IsNaN(x) && !math.IsNaN(y) {
			fail("a power that is a complex number is not supported")
		}
		return z
	}
	if y == 0 {
		fail("float division by zero")
	}
	switch op {
	case "/":
		return x / y
	}
	r := math.Mod(x, y)
	if r != 0 && (r < 0) != (y < 0) {
		r += y
	}
	if op == "%" {
		if r == 0 {
			return math.Copysign(0, y)
		}
		return r
	}
	q := (x - r) / y
	if floor := math.Floor(q); q-floor > 0.5 {
		return floor + 1
	} else if q != 0 {
		return floor
	}
	return math.Copysign(0, x/y)
}
