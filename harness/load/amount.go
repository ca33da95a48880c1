package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// An Amount is a number that may vary from one time to the next: tokens, turns, seconds. The zero
// Amount is always 0.
type Amount struct {
	// Kind is "" for always A; "uniform" from A to B; "normal" and "lognormal" of mean A and
	// standard deviation B, both of the numbers themselves; or "exponential" of mean A.
	Kind string
	A, B float64
	Max  float64 // what is drawn above it becomes it; 0: no bound
	Pool bool    // the numbers are shares of the server's KV pool, 0 to 1, not tokens; see Load.On

	// Context says that the numbers are shares of the longest request that the server takes.
	Context bool
}

// Fixed is an amount that does not vary.
func Fixed(n float64) Amount { return Amount{A: n} }

// amountKinds are how many numbers each kind takes.
var amountKinds = map[string]int{"uniform": 2, "normal": 2, "lognormal": 2, "exponential": 1}

// AmountForms are the ways to write an amount, for help and errors.
const AmountForms = "a number, or uniform LOW HIGH, normal MEAN DEVIATION, lognormal MEAN " +
	"DEVIATION or exponential MEAN, with max N after it or not"

// ofPool and ofContext are what follows an amount whose numbers are percentages.
const ofPool, ofContext = " of pool", " of context"

// ParseAmount reads an amount such as "64", "uniform 32 128", "lognormal 200 300 max 2000" or
// "uniform 1% 5% of pool". number reads one number that is of neither the pool nor the context.
func ParseAmount(s string, number func(string) (float64, error)) (Amount, error) {
	var a Amount
	text, pool := strings.CutSuffix(s, ofPool)
	text, context := strings.CutSuffix(text, ofContext)
	if a.Pool, a.Context = pool, context; pool || context {
		number = percentage
	}
	words := strings.Fields(text)
	if n := len(words); n > 2 && words[n-2] == "max" {
		var err error
		if a.Max, err = number(words[n-1]); err != nil {
			return a, err
		}
		if a.Max <= 0 {
			return a, fmt.Errorf("max %s: want more than 0", words[n-1])
		}
		words = words[:n-2]
	}
	want := 1
	if len(words) > 0 {
		if n, ok := amountKinds[words[0]]; ok {
			a.Kind, want, words = words[0], n, words[1:]
		}
	}
	if len(words) != want {
		return a, fmt.Errorf("%q is not an amount", s)
	}
	for i, to := range []*float64{&a.A, &a.B}[:want] {
		var err error
		if *to, err = number(words[i]); err != nil {
			return a, err
		}
		if *to < 0 {
			return a, fmt.Errorf("%s: want 0 or more", words[i])
		}
	}
	if a.Kind == "uniform" && a.B < a.A {
		return a, fmt.Errorf("%q: the low end is above the high end", s)
	}
	if a.Kind == "lognormal" && a.A == 0 {
		return a, fmt.Errorf("%q: want a mean above 0", s)
	}
	return a, nil
}

// percentage reads 5% as 0.05.
func percentage(s string) (float64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(n >= 0 && n <= 100) {
		return 0, fmt.Errorf("%q is not a percentage, such as 5%%", s)
	}
	return n / 100, nil
}

// of is an amount of the pool or the context in tokens, of which those have so many; any other
// stays as it is.
func (a Amount) of(pool, context float64) Amount {
	switch {
	case a.Pool:
		a = a.Times(pool)
	case a.Context:
		a = a.Times(context)
	}
	a.Pool, a.Context = false, false
	return a
}

// Times is the amount with its numbers multiplied.
func (a Amount) Times(by float64) Amount {
	a.A, a.B, a.Max = a.A*by, a.B*by, a.Max*by
	return a
}

// Draw draws a number, never below 0.
func (a Amount) Draw(rng *rand.Rand) float64 {
	v := a.A
	switch a.Kind {
	case "uniform":
		v += (a.B - a.A) * rng.Float64()
	case "normal":
		v += a.B * rng.NormFloat64()
	case "lognormal":
		// Mean and deviation of the variable give those of its logarithm.
		variance := math.Log1p(a.B * a.B / (a.A * a.A))
		v = math.Exp(math.Log(a.A) - variance/2 + math.Sqrt(variance)*rng.NormFloat64())
	case "exponential":
		v *= rng.ExpFloat64()
	}
	if a.Max > 0 {
		v = min(v, a.Max)
	}
	return max(v, 0)
}

// count draws a whole number that is at least lowest.
func (a Amount) count(rng *rand.Rand, lowest int) int {
	v := a.A
	if a.Kind == "uniform" { // both ends as likely as what lies between
		v += float64(rng.IntN(int(a.B-a.A) + 1))
	} else {
		v = a.Draw(rng)
	}
	if a.Max > 0 {
		v = min(v, a.Max)
	}
	return max(int(math.Round(v)), lowest)
}

// seconds draws a time.
func (a Amount) seconds(rng *rand.Rand) time.Duration { return seconds(a.Draw(rng)) }

// String is the amount as it is written.
func (a Amount) String() string {
	f := func(v float64) string {
		if a.Pool || a.Context {
			return strconv.FormatFloat(100*v, 'g', 6, 64) + "%"
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	s := strings.TrimSpace(a.Kind + " " + f(a.A))
	if amountKinds[a.Kind] == 2 {
		s += " " + f(a.B)
	}
	if a.Max > 0 {
		s += " max " + f(a.Max)
	}
	switch {
	case a.Pool:
		s += ofPool
	case a.Context:
		s += ofContext
	}
	return s
}
