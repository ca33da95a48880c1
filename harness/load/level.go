package load

import (
	"strconv"
)

// A Level is how hard a run pushed, where a load is tried at several: one point of a sweep, one
// probe of a search.
type Level struct {
	// "rate", in arrivals a second, or "concurrency", in agents at a time
	Kind  string  `json:"kind"`
	Value float64 `json:"value"` // above 0
}

// String is how a level is written in names: rate=4, concurrency=16; the zero Level is "".
func (l Level) String() string {
	if l.Kind == "" {
		return ""
	}
	return l.Kind + "=" + strconv.FormatFloat(l.Value, 'g', 6, 64)
}
