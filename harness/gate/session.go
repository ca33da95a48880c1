package gate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aclements/go-moremath/stats"

	"loadstone/harness/load"
	"loadstone/harness/table"
)

// A session is one sitting in which measurements were made; files with the same one were measured
// in turns.
type session struct {
	id    string
	start time.Time // zero: unknown
}

func newSession(line load.Identity) *session {
	start, _ := time.Parse(time.RFC3339Nano, line.Get("start"))
	return &session{line.Get("id"), start}
}

// An Alternation says whether the rounds of base and head alternated.
type Alternation string

const (
	Interleaved Alternation = "interleaved" // both are of one session
	SetApart    Alternation = "set apart"   // they are of different ones
	Unknown     Alternation = "unknown"     // neither file says
)

// alternation is that of base and head. A file that does not say is older than one that does, or of
// another program, so it is of another session.
func (p *pool) alternation() Alternation {
	base, head := p.sessions[baseSide], p.sessions[headSide]
	switch {
	case len(base) == 0 && len(head) == 0:
		return Unknown
	case len(base) == 1 && len(head) == 1 && base[0].id == head[0].id:
		return Interleaved
	}
	return SetApart
}

// These bound what is believed of two sides that were not measured in turns.
const (
	// minSessions is how many sessions tell what differs between sessions. With two, the interval
	// is 12.7 deviations wide, so nothing would ever be beyond it.
	minSessions = 3

	// plausibleDrift is how much two sessions of one server may differ where no noise floor says
	// it. At a deviation of 8 % from session to session, 2 of 1000 pairs are slower by more than
	// this. At 30 % it was 7 of 100 among twenty cells, whose own noise came on top.
	plausibleDrift = 0.40
)

// drifts reports whether a unit follows the speed of the machine, which is another one in another
// session: times and rates do, and the share of answers that are quick enough. What hits a cache,
// fails, or is refused is not the machine's doing.
func (cell *Cell) drifts() bool {
	return !cell.Rule.Exact && (!cell.Rule.Points || cell.ShortUnit() == "good-ratio")
}

// betweenSessions is how far two sides may be apart that are the same server in two different
// sessions: the 97 % prediction interval of the difference of two more sessions, after those that
// were measured. ok is false where there are too few sessions, or values that have no logarithm.
//
// The sessions are the sample here, not their rounds: whatever is common to all rounds of a session
// (clock, temperature, neighbours, where memory came to lie) would be averaged away by swapping
// rounds, which is how [noise] finds what differs within one. So the labels are swapped a session
// at a time, and since both signs of each difference are as likely, that is the interval of
// Student's t with a session less than there are as its degrees of freedom: few sessions make it
// wide. Each side of a session has as many runs as a side of the gate, so the noise of a side's
// median is in it.
func betweenSessions(sessions [][2][]float64, points bool) (bound float64, ok bool) {
	if len(sessions) < minSessions {
		return 0, false
	}
	variance := 0.0
	for side := range 2 {
		var centers []float64
		for _, s := range sessions {
			if len(s[side]) == 0 {
				return 0, false
			}
			center := summary(s[side]).Center
			if !points {
				center = math.Log(center)
			}
			if math.IsInf(center, 0) || math.IsNaN(center) {
				return 0, false
			}
			centers = append(centers, center)
		}
		variance += stats.Variance(centers) / 2
	}
	t := stats.InvCDF(stats.TDist{V: float64(len(sessions) - 1)})(0.985)
	bound = t * math.Sqrt(2*variance)
	if !points {
		bound = math.Expm1(bound)
	}
	return bound, true
}

// drift is how far sessions are apart in most cells of times and rates: the median of their
// intervals. A machine that is slow is slow in all of them, so a cell whose few sessions happened
// to lie close together is held to it as well. With the cells' own intervals alone, which was tried
// first, 6 of 100 identical pairs of twenty cells were called worse.
func (p *pool) drift() float64 {
	var all []float64
	for _, s := range p.cells {
		if rule(s.unit).Points || rule(s.unit).Exact {
			continue
		}
		if bound, ok := betweenSessions(s.bySession(), false); ok {
			all = append(all, bound)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return middle(all)
}

// Sessions are those of a noise floor: how many, and the time from the first to the last.
type Sessions struct {
	N    int
	Over time.Duration // 0: of one, or not known
}

func (s Sessions) String() string {
	text := table.Plural(s.N, "session")
	if s.Over > 0 {
		text += " over " + apart(s.Over)
	}
	return text
}

// apart is a time between sessions: what matters is whether it is minutes, hours or days.
func apart(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return table.Plural(int(d.Minutes()), "minute")
	case d < 48*time.Hour:
		return table.Plural(int(d.Hours()), "hour")
	}
	return table.Plural(int(d.Hours()/24), "day")
}

// sessionsOf are the sessions that a noise floor names.
func sessionsOf(names []string) Sessions {
	s := Sessions{N: len(names)}
	var starts []time.Time
	for _, name := range names {
		if at, err := time.Parse(time.RFC3339, name); err == nil {
			starts = append(starts, at)
		}
	}
	if len(starts) > 1 {
		slices.SortFunc(starts, time.Time.Compare)
		s.Over = starts[len(starts)-1].Sub(starts[0])
	}
	return s
}

// An ApartError says that nothing can be decided because base and head were not measured in turns.
type ApartError struct {
	Cells, All int
}

func (e *ApartError) Error() string {
	return fmt.Sprintf("not interleaved: base and head were measured in different sessions, and "+
		"in %d of %d cells what differs may be the sessions", e.Cells, e.All)
}
