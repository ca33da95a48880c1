package grammar

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// numeric compiles the numbers between bounds. Bounds that are not whole numbers are moved inward
// to whole ones.
func (c *compiler) numeric(whole bool, s map[string]json.RawMessage, path string) (symbol, error) {
	const limit = 1e9
	low, high := math.Inf(-1), math.Inf(1)
	for _, k := range keywords["number"] {
		if s[k] == nil {
			continue
		}
		var v *float64 // stays nil for null
		if json.Unmarshal(s[k], &v) != nil || v == nil || math.Abs(*v) > limit {
			reason := fmt.Sprintf("must be a number between %g and %g", -limit, limit)
			return 0, &SchemaError{path, k, reason}
		}
		switch k {
		case "minimum":
			low = max(low, math.Ceil(*v))
		case "exclusiveMinimum":
			low = max(low, math.Floor(*v)+1)
		case "maximum":
			high = min(high, math.Floor(*v))
		case "exclusiveMaximum":
			high = min(high, math.Ceil(*v)-1)
		}
	}
	if math.IsInf(low, -1) && math.IsInf(high, 1) {
		if whole {
			return c.integer(), nil
		}
		return c.number(), nil
	}
	a, b := int64(max(low, -limit*1000)), int64(min(high, limit*1000))
	alternatives := [][]symbol{{c.wholes(a, b)}}
	if !whole { // n.f lies between n and n+1, and -n.f between -n-1 and -n
		fraction := c.seq(c.literal("."), c.repeat(c.digit, 1, 3))
		alternatives = append(alternatives, []symbol{c.ranged(max(a, 0), b-1), fraction})
		alternatives = append(alternatives, []symbol{c.literal("-"),
			c.ranged(max(-b, 0), -a-1), fraction})
	}
	return c.oneOf(alternatives...), nil
}

// wholes is the integers from a to b.
func (c *compiler) wholes(a, b int64) symbol {
	return c.oneOf([]symbol{c.ranged(max(a, 0), b)},
		[]symbol{c.literal("-"), c.ranged(max(-b, 1), -a)})
}

// ranged is the integers from a to b, where a is not negative; nothing matches it if a > b.
func (c *compiler) ranged(a, b int64) symbol {
	var alternatives [][]symbol
	for a <= b {
		digits := strconv.FormatInt(a, 10)
		to := min(b, int64(math.Pow10(len(digits)))-1)
		alternatives = append(alternatives, []symbol{c.digits(digits, strconv.FormatInt(to, 10))})
		a = to + 1
	}
	return c.oneOf(alternatives...)
}

// digits is the numbers from a to b, which have the same number of digits.
func (c *compiler) digits(a, b string) symbol {
	if a == "" {
		return c.seq()
	}
	if a[0] == b[0] {
		return c.seq(c.literal(a[:1]), c.digits(a[1:], b[1:]))
	}
	// Only numbers that begin like a or like b need more than their first digit looked at, and only
	// unless the rest of a is zeros or that of b nines. So each call makes at most one call for a
	// and one for b.
	n := len(a) - 1
	zeros, nines := strings.Repeat("0", n), strings.Repeat("9", n)
	low, high := a[0], b[0]
	var alternatives [][]symbol
	if a[1:] != zeros {
		alternatives = append(alternatives, []symbol{c.literal(a[:1]), c.digits(a[1:], nines)})
		low++
	}
	if b[1:] != nines {
		alternatives = append(alternatives, []symbol{c.literal(b[:1]), c.digits(zeros, b[1:])})
		high--
	}
	if low <= high {
		first := c.bytes(string([]byte{low, high}))
		alternatives = append(alternatives, []symbol{first, c.repeat(c.digit, n, n)})
	}
	return c.oneOf(alternatives...)
}
