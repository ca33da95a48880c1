package soak

import "slices"

// A Report is what a soak came to.
type Report struct {
	About    []string  `json:"about"` // what it was, in a few words each
	Windows  []Window  `json:"windows"`
	Verdicts []Verdict `json:"series"`
}

// New makes a report of windows.
func New(windows []Window) *Report { return &Report{Windows: windows, Verdicts: Judge(windows)} }

// Worse are the verdicts of a trend to the worse.
func (r *Report) Worse() []Verdict {
	return slices.DeleteFunc(slices.Clone(r.Verdicts), func(v Verdict) bool {
		return v.Standing != Worse
	})
}

// Short tells whether some series has too few windows, and none has enough.
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

// Lives are where each of the server's lives but the first began.
func (r *Report) Lives() []Window {
	var all []Window
	for i, w := range r.Windows {
		if i > 0 && w.Life != r.Windows[i-1].Life {
			all = append(all, w)
		}
	}
	return all
}
