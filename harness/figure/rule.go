package figure

// A Rule says how a gate judges one figure.
type Rule struct {
	Gated bool // judged unless the user names the figures
	// Exact makes any change for the worse a regression, without statistics: an error is an error.
	Exact  bool
	Sparse bool    // not every run has it: an answer of one token has no inter-token time
	Points bool    // a ratio is judged by the difference: a quarter more of 0.4 % is nothing
	Effect float64 // the smallest change that matters: 0.05 is 5 %, or 5 percentage points
	Min    float64 // the smallest change in the unit itself that anybody would notice
}
