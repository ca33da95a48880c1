package soak

import "slices"

// A Report is the result of a soak.
type Report struct {
	About    []string  `json:"about"` // phrases that describe the soak
	Windows  []Window  `json:"windows"`
	Verdicts []Verdict `json:"series"`
}

// New judges windows and returns the report.
func New(windows []Window) *Report { return &Report{Windows: windows, Verdicts: Judge(windows)} }

// Worse returns the verdicts of series with a trend to the worse.
func (r *Report) Worse() []Verdict {
	return slices.DeleteFunc(slices.Clone(r.Verdicts), func(v Verdict) bool {
		return v.Standing != Worse
	})
}

// Short reports whether some series has too few windows and none has enough.
func (r *Report) Short() bool {
	short := false
	for _, v := range r.Verdicts {
		if v.Standing != TooShort && v.Standing != Unknown {
			return false
		}
		short = true
	}
	return short
}

// Lives returns the first window of each of the server's lives except the first life.
func (r *Report) Lives() []Window {
	var all []Window
	for i, w := range r.Windows {
		if i > 0 && w.Life != r.Windows[i-1].Life {
			all = append(all, w)
		}
	}
	return all
}
