package liars

import (
	"fmt"
	"slices"
	"strings"
)

// Claims are what a tool reports of a server.
type Claims struct {
	Tool string `json:"tool,omitempty"`
	// Figures are those that the tool reports. One that it does not report, or says not to know, is
	// not there.
	Figures map[Figure]float64 `json:"figures"`
	// Alarms are what it says in words to be wrong, and does not say of the truthful server.
	Alarms []string `json:"alarms,omitempty"`
}

// A Verdict is what a tool's report is worth.
type Verdict string

// The verdicts.
const (
	Told   Verdict = "truth"  // its figures are the truth, or it says what is wrong
	Fooled Verdict = "fooled" // it reports what the liar wants, and says nothing
	Mute   Verdict = "mute"   // it has no figure, and no words, for what the lie is about
)

// A Judgement is a verdict and its reasons.
type Judgement struct {
	Liar    string   `json:"liar"`
	Tool    string   `json:"tool,omitempty"`
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons,omitempty"`
}

// refuses is the share of errors from which on a tool calls all answers errors.
const refuses = 0.9

// Judge holds a tool's claims to the truth:
//
//   - A figure is judged that the liar's lie is about and that the tool reports. All of them must
//     be within their bounds. If one is not, the tool is fooled, unless it raises an alarm.
//   - If the tool reports none of the figures, or there is no figure for the lie, it must raise an
//     alarm. If it does not, it is mute: it does not claim to see such a thing.
//   - Where answers do not follow the API, a tool may call all of them errors.
//   - Of the truthful server every alarm is false, and every figure must be the truth.
func (l *Liar) Judge(c Claims, t Truth) Judgement {
	j := Judgement{Liar: l.Name, Tool: c.Tool, Verdict: Mute}
	wrong := false
	for _, b := range l.Bounds {
		claim, ok := c.Figures[b.Figure]
		truth, known := t.Figures[b.Figure]
		if !ok || !known {
			continue
		}
		text := fmt.Sprintf("%s %.4g, truly %.4g", b.Figure, claim, truth)
		if !b.Holds(claim, truth, t.Scale) {
			wrong, text = true, text+": wrong"
		}
		j.Reasons = append(j.Reasons, text)
		j.Verdict = Told
	}
	refused := l.Refusable && c.Figures[ErrorRatio] >= refuses
	switch {
	case l.Name == Truthful().Name:
		j.Reasons = append(j.Reasons, c.Alarms...)
		if wrong || len(c.Alarms) > 0 {
			j.Verdict = Fooled
		}
	case len(c.Alarms) > 0 || refused:
		j.Verdict = Told
		j.Reasons = append(j.Reasons, c.Alarms...)
		if refused {
			j.Reasons = append(j.Reasons, "calls every answer an error")
		}
	case wrong:
		j.Verdict = Fooled
	}
	return j
}

// A Score is a tool's: how many of the liars each verdict is of.
type Score struct {
	Tool        string      `json:"tool,omitempty"`
	Liars       int         `json:"liars"`
	Truth       int         `json:"truth"`
	Fooled      int         `json:"fooled"`
	Mute        int         `json:"mute"`
	FalseAlarms int         `json:"false_alarms"` // of the truthful server
	Judgements  []Judgement `json:"judgements"`
}

// NewScore makes the score of judgements.
func NewScore(judgements []Judgement) Score {
	s := Score{Judgements: judgements}
	for _, j := range judgements {
		s.Tool = j.Tool
		if j.Liar == Truthful().Name {
			if j.Verdict == Fooled {
				s.FalseAlarms++
			}
			continue
		}
		s.Liars++
		switch j.Verdict {
		case Told:
			s.Truth++
		case Fooled:
			s.Fooled++
		case Mute:
			s.Mute++
		}
	}
	return s
}

func (s Score) String() string {
	text := fmt.Sprintf("the truth about %d of %d liars", s.Truth, s.Liars)
	if s.Fooled > 0 {
		text += fmt.Sprintf(", fooled by %d", s.Fooled)
	}
	if s.Mute > 0 {
		text += fmt.Sprintf(", mute about %d", s.Mute)
	}
	if s.FalseAlarms > 0 {
		return text + "; a false alarm about the truthful server"
	}
	return text
}

// Table is the table of the liars for people: name, what each does, what a truthful tool reports,
// and how that is judged.
func Table() [][]string {
	rows := [][]string{{"liar", "what it does", "what a truthful tool reports", "judged by"}}
	for _, l := range append([]*Liar{Truthful()}, All()...) {
		var by []string
		for _, b := range l.Bounds {
			by = append(by, b.String())
		}
		if l.Alarm {
			by = append(by, "an alarm")
		}
		if l.Refusable {
			by = append(by, "or errors alone")
		}
		rows = append(rows, []string{l.Name, l.Lie, l.Truth, strings.Join(by, "; ")})
	}
	return slices.Clip(rows)
}
