package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/harness/load"
)

func level(kind, v string) (load.Level, error) {
	l := load.Level{Kind: kind}
	var err error
	switch kind {
	case "rate":
		l.Value, err = rate(v)
	case "concurrency":
		var n int
		n, err = count(v, 1)
		l.Value = float64(n)
	default:
		err = fmt.Errorf("%q cannot be swept or searched", kind)
	}
	if err == nil && l.Value <= 0 {
		err = fmt.Errorf("%s: want more than 0", v)
	}
	return l, err
}

// profile reads the three forms of a rate.
func profile(v string) (load.Profile, error) {
	words := strings.Fields(v)
	switch {
	case len(words) == 1:
		r, err := rate(words[0])
		if err == nil && r <= 0 {
			err = fmt.Errorf("%s: want more than 0", v)
		}
		return load.Constant(r), err
	case len(words) == 5 && words[1] == "to" && words[3] == "over":
		from, err := rate(words[0])
		if err != nil {
			return nil, err
		}
		to, err := rate(words[2])
		if err != nil {
			return nil, err
		}
		over, err := duration(words[4])
		if err == nil && from+to <= 0 {
			err = fmt.Errorf("%q is not a load", v)
		}
		return load.Ramp(from, to, over), err
	case len(words) >= 4 && words[0] == "steps" && words[len(words)-2] == "each":
		each, err := duration(words[len(words)-1])
		if err != nil {
			return nil, err
		}
		var rates []float64
		for _, word := range words[1 : len(words)-2] {
			r, err := rate(word)
			if err != nil {
				return nil, err
			}
			rates = append(rates, r)
		}
		if slices.Max(rates) <= 0 {
			return nil, fmt.Errorf("%q is not a load", v)
		}
		return load.Steps(each, rates...), nil
	}
	return nil, fmt.Errorf("%q", v)
}

// ParseRate reads a rate in any of its forms, and ParseDuration a time: the command line has them,
// too.
func ParseRate(v string) (load.Profile, error) { return profile(v) }

func rate(v string) (float64, error) {
	n, err := number(strings.TrimSuffix(v, "/s"))
	if err == nil && n > 1e6 {
		err = fmt.Errorf("%s: want at most 1000000/s", v)
	}
	return n, err
}

// maxNumber bounds counts: a slip of the finger does not make a load of a trillion requests.
const maxNumber = 10_000_000

func count(v string, lowest int) (int, error) {
	n, err := strconv.Atoi(v)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a whole number", v)
	case n < lowest || n > maxNumber:
		return 0, fmt.Errorf("%d: want %d to %d", n, lowest, maxNumber)
	}
	return n, nil
}

func number(v string) (float64, error) {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n >= 0 && n <= maxNumber) {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", v, maxNumber)
	}
	return n, nil
}

func positive(v string) (float64, error) {
	n, err := number(v)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: want more than 0", v)
	}
	return n, err
}

// part reads a percentage.
func part(v string) (float64, error) {
	digits, ok := strings.CutSuffix(strings.TrimSpace(v), "%")
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(n > 0 && n <= 100) {
		return 0, fmt.Errorf("%q is not a percentage above 0%% and up to 100%%", v)
	}
	return n / 100, nil
}

func duration(v string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(v))
	if err != nil || d <= 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("%q is not a time above 0 and up to 24h, such as 500ms, 10s or 2m", v)
	}
	return d, nil
}

// timeNumber reads a time as seconds.
func timeNumber(v string) (float64, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("%q is not a time from 0 to 24h, such as 500ms or 2s", v)
	}
	return d.Seconds(), nil
}

func seed(v string) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number from 0 on", v)
	}
	return n, nil
}
