package load

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Share is part Part, counted from 0, of a load that Of load generators put on one server at the
// same time. The zero Share is the whole load.
//
// What is split is the schedule: each agent is in one share, with all that it asks, and what that
// is does not depend on how many shares there are. So the shares together are the load, byte for
// byte.
//
//   - In an open loop agent i belongs to part i mod Of, and comes when it comes in the whole load.
//   - A closed loop has places, each of which one agent after the other takes: of N places place p
//     belongs to part p mod Of, so that each part has N/Of of them and the first N mod Of parts one
//     more. Agent i takes place i mod N.
//   - Of a number of requests each part has those that come to its agents where each asks once.
//
// In a closed loop whose agents have several turns, a number of requests ends the load wherever its
// agents are by then, which the server decides; then each part ends its own.
type Share struct{ Part, Of int }

// ParseShare reads a share such as "0/4", "" as the whole load.
func ParseShare(s string) (Share, error) {
	if s == "" {
		return Share{}, nil
	}
	part, of, ok := strings.Cut(s, "/")
	i, err := strconv.Atoi(part)
	n, err2 := strconv.Atoi(of)
	if !ok || err != nil || err2 != nil || n < 1 || i < 0 || i >= n {
		return Share{}, fmt.Errorf("%q is no part of a load; want I/N, such as 0/4 to 3/4", s)
	}
	return Share{i, n}, nil
}

// String is the share as ParseShare reads it.
func (s Share) String() string {
	if s.Of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Part, s.Of)
}

// Whole reports whether the share is all of the load.
func (s Share) Whole() bool { return s.Of <= 1 }

// places is how many agents of a closed loop work at a time; 0 of an open one.
func (l *Load) places() int { return max(l.Concurrency, l.Together) }

// below is how many of the numbers from 0 to n-1 are the share's.
func (s Share) below(n int) int {
	if s.Whole() {
		return n
	}
	return max(0, (n-s.Part+s.Of-1)/s.Of)
}

// Places are those of a closed loop that belong to the share, in order.
func (s Share) Places(l *Load) []int {
	of := max(s.Of, 1)
	var own []int
	for p := s.Part; p < l.places(); p += of {
		own = append(own, p)
	}
	return own
}

// Has reports whether an agent belongs to the share.
func (s Share) Has(l *Load, agent int) bool {
	if n := l.places(); n > 0 {
		agent %= n
	}
	return s.Whole() || agent%s.Of == s.Part
}

// Agent is the share's k-th agent, counted from 0; math.MaxInt where it has none.
func (s Share) Agent(l *Load, k int) int {
	n := l.places()
	switch own := s.below(n); {
	case s.Whole():
		return k
	case n == 0:
		return k*s.Of + s.Part
	case own == 0:
		return math.MaxInt
	default:
		return k/own*n + k%own*s.Of + s.Part
	}
}

// Requests is how many of the load's requests are the share's, of a load with a number of them.
func (s Share) Requests(l *Load) int {
	n := l.places()
	if n == 0 || s.Whole() {
		return s.below(l.Requests)
	}
	return l.Requests/n*s.below(n) + s.below(l.Requests%n)
}

// Arrivals are the share's agents of an open loop, and when each comes.
func (s Share) Arrivals(l *Load) iter.Seq2[int, time.Duration] {
	return func(yield func(int, time.Duration) bool) {
		i := 0
		for at := range l.Arrivals() {
			if s.Has(l, i) && !yield(i, at) {
				return
			}
			i++
		}
	}
}
