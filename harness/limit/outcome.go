package limit

import (
	"encoding/json"
	"math"
	"slices"

	"loadstone/harness/figure"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// A Standing is how a measurement stands to a limit.
type Standing string

const (
	Met    Standing = "met"
	Missed Standing = "missed"
	// NotShown is within the limit, but the sample cannot bound the percentile.
	NotShown   Standing = "not shown"
	Unmeasured Standing = "not measured" // the figure was not measured
)

// An Outcome is what became of one limit. Gates and reports both say with it whether something
// held.
type Outcome struct {
	Limit    Limit
	Value    float64 // of the figure, in its unit; 0 where it is Unmeasured
	Standing Standing
	Needs    int // values that would bound the percentile where it is NotShown; 0 otherwise

	Name     string  // the figure, as it is shown
	Bound    string  // "< 200 ms"
	Figure   string  // the value, as it is shown: "312 ms"; "–" where there is none
	Scenario string  // the one that the value is from; "" none
	Fraction float64 // the value as a part of the bound, for drawing; 1 is the bound, at most 1000
}

// Judge holds a summary to the limit, whose Unit must be the name of a figure.
//
// A percentile that is within its limit proves nothing where the sample cannot bound it, as the p99
// of 20 requests cannot: it is NotShown. One that is beyond its limit is missed however few values
// it is of.
func (l Limit) Judge(s *record.Summary) Outcome {
	o := l.Unmeasured()
	f, _ := figure.Find(l.Unit)
	value, measured := f.Value(s)
	if !measured {
		return o
	}
	o.Value, o.Figure, o.Fraction = value, f.Format(value), part(value, l.Value)
	switch {
	case !l.Holds(value):
		o.Standing = Missed
	case f.Quantile > 0 && !stats.Supports(f.Size(s), f.Quantile):
		o.Standing, o.Needs = NotShown, stats.Wanted(f.Quantile)
	default:
		o.Standing = Met
	}
	return o
}

// Unmeasured is the outcome of the limit where nothing was measured.
func (l Limit) Unmeasured() Outcome {
	f, _ := figure.Find(l.Unit)
	return Outcome{Limit: l, Standing: Unmeasured, Name: l.Unit,
		Bound: l.Op + " " + f.Format(l.Value), Figure: "–"}
}

// Word says in a few words how the limit stands.
func (o Outcome) Word() string {
	if o.Standing == NotShown {
		return "not shown: needs " + o.Sample()
	}
	return string(o.Standing)
}

// Sample says in words what would bound the percentile of an outcome that is NotShown.
func (o Outcome) Sample() string {
	f, _ := figure.Find(o.Limit.Unit)
	return f.Sample(o.Needs)
}

// nearness is how far the value is on its way to missing the limit; 1 is the limit, more is beyond
// it.
func (o Outcome) nearness() float64 {
	switch {
	case o.Standing == Unmeasured:
		return 0
	case o.Value == o.Limit.Value:
		return 1
	case o.Limit.Above():
		return part(o.Limit.Value, o.Value)
	}
	return part(o.Value, o.Limit.Value)
}

// part is a value as a fraction of another, at most 1000: a file of results cannot hold infinity.
func part(value, of float64) float64 {
	switch {
	case value == 0:
		return 0
	case of == 0:
		return 2 // any more than nothing is beyond
	}
	return min(value/of, 1000)
}

// gravity orders standings: of several outcomes of one limit the gravest decides.
var gravity = []Standing{Met, NotShown, Missed, Unmeasured}

// Worst is the outcome, of at least one, that decides over one limit in several scenarios: one that
// was not measured, else the one that misses the limit by the most, else one that is not shown,
// else the one that comes nearest to missing it.
func Worst(outcomes []Outcome) Outcome { return worst(outcomes, gravity) }

// WorstKnown is Worst of those scenarios alone in which the limit is met or missed, where there are
// any. The others cannot lose what one has shown.
func WorstKnown(outcomes []Outcome) Outcome {
	return worst(outcomes, []Standing{Unmeasured, NotShown, Met, Missed})
}

func worst(outcomes []Outcome, gravity []Standing) Outcome {
	decides := outcomes[0]
	for _, o := range outcomes[1:] {
		graver := slices.Index(gravity, o.Standing) - slices.Index(gravity, decides.Standing)
		if graver > 0 || graver == 0 && o.nearness() > decides.nearness() {
			decides = o
		}
	}
	return decides
}

// outcomeJSON is an Outcome in a file of results. Met and Judged say with two words what Standing
// says; files of earlier versions have them alone.
type outcomeJSON struct {
	Name     string   `json:"name"`
	Bound    string   `json:"limit"`
	Figure   string   `json:"figure"`
	Scenario string   `json:"scenario"`
	Standing Standing `json:"standing"`
	Met      bool     `json:"met"`
	Judged   bool     `json:"judged"`
	Needs    int      `json:"needs_requests,omitempty"`
	Fraction float64  `json:"fraction"`
}

// MarshalJSON writes what people and programs read of the outcome.
func (o Outcome) MarshalJSON() ([]byte, error) {
	known := o.Standing == Met || o.Standing == Missed
	return json.Marshal(outcomeJSON{
		o.Name, o.Bound, o.Figure, o.Scenario, o.Standing, o.Standing == Met, known, o.Needs,
		o.Fraction,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote, and what earlier versions did. Limit and Value are
// read back where the texts tell them.
func (o *Outcome) UnmarshalJSON(text []byte) error {
	var j outcomeJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*o = Outcome{Name: j.Name, Bound: j.Bound, Figure: j.Figure, Scenario: j.Scenario,
		Standing: j.Standing, Needs: j.Needs, Fraction: j.Fraction}
	if o.Standing == "" {
		switch {
		case j.Needs > 0:
			o.Standing = NotShown
		case !j.Judged:
			o.Standing = Unmeasured
		case j.Met:
			o.Standing = Met
		default:
			o.Standing = Missed
		}
	}
	if f, ok := figure.Find(j.Name); ok {
		o.Limit.Unit = f.Name
	}
	if math.IsNaN(o.Fraction) || math.IsInf(o.Fraction, 0) {
		o.Fraction = 0
	}
	return nil
}
