package record

// Again is what came of asking some of a load's questions a second time, when nothing else ran: a greedy answer is the same
// alone and under load. An answer that differs for no reason that is known here is a Violation.
type Again struct {
	Compared int `json:"compared"` // answered both times
	Differ   int `json:"differ"`   // with another answer
	Rounded  int `json:"rounded"`  // of those, where two tokens were nearly as likely, so that another batch may round to the other
	Open     int `json:"open"`     // of those, by a server that does not tell how likely tokens are: rounding or corruption
}

// Add is both together.
func (a Again) Add(b Again) Again {
	return Again{a.Compared + b.Compared, a.Differ + b.Differ, a.Rounded + b.Rounded, a.Open + b.Open}
}
