package record

// IntentAgain is the Intent of a question that is asked a second time.
const IntentAgain = "asked again, alone"

// Again is the result of asking some of a load's questions a second time, when nothing else ran: a
// greedy answer is the same alone and under load. An answer that differs without a reason that is
// known here is a Violation instead.
type Again struct {
	Compared int `json:"compared"` // answered both times
	Differ   int `json:"differ"`   // with another answer the second time
	// Rounded of those that differ do so where two tokens were nearly as likely, so that another
	// batch may round to the other one.
	Rounded int `json:"rounded"`
	// Open of those that differ came from a server that does not report how likely tokens are, so
	// that rounding and corruption cannot be told apart.
	Open int `json:"open"`
	// Alike says that all answers are the same text, whatever was asked. Then a stored answer, or
	// another agent's, would look like one's own.
	Alike bool `json:"alike,omitempty"`
}

// Add is the sum of both.
func (a Again) Add(b Again) Again {
	return Again{
		Compared: a.Compared + b.Compared,
		Differ:   a.Differ + b.Differ,
		Rounded:  a.Rounded + b.Rounded,
		Open:     a.Open + b.Open,
		Alike:    a.Alike && b.Alike || a.Alike && b.Compared == 0 || b.Alike && a.Compared == 0,
	}
}
