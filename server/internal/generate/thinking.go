package generate

import (
	"bytes"
	"slices"
	"strings"
)

// A thinkingForm is the text that a family of models puts around its reasoning, which stands before
// the answer.
type thinkingForm struct{ open, close string }

// thinkingForms has a row for each family. A model has the first form whose beginning its chat
// template shows; one whose template shows none does not think aloud, and what looks like a form in
// its answers is text.
var thinkingForms = []thinkingForm{
	{"<think>", "</think>"},           // Qwen3, QwQ, DeepSeek R1, SmolLM3, GLM
	{"[THINK]", "[/THINK]"},           // Magistral
	{"<seed:think>", "</seed:think>"}, // Seed-OSS
}

// thinkingFormOf returns the form that a template shows, nil for none.
func thinkingFormOf(template string) *thinkingForm {
	for i, f := range thinkingForms {
		if strings.Contains(template, f.open) {
			return &thinkingForms[i]
		}
	}
	return nil
}

// Thinking says how a model may think before it answers. Models that cannot think ignore it.
type Thinking struct {
	Off    bool
	Effort string // "": the model's own. low, medium and high are those that templates know
	Budget int    // the largest number of tokens; 0: no bound
	Field  string // the body's field that demands it, for errors
}

// effortBudgets bounds the reasoning, in tokens, of models whose template has no variable for the
// effort. An effort that is not in the table has no bound.
var effortBudgets = map[string]int{"minimal": 512, "low": 1024, "medium": 8192}

// Efforts are the efforts that clients may name.
var Efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh"}

// SetEffort sets the effort from a body's field; "" stands for a field that is missing.
func (t *Thinking) SetEffort(field, effort string) error {
	switch {
	case effort == "":
		return nil
	case !slices.Contains(Efforts, effort):
		return Invalid(field, "%s: %q; want one of %s", field, effort, strings.Join(Efforts, ", "))
	case effort == "none":
		t.Off = true
	default:
		t.Effort = effort
	}
	t.Field = field
	return nil
}

// SetBudget sets the budget from a body's field; n is nil if it is missing. 0 or less turns the
// reasoning off.
func (t *Thinking) SetBudget(field string, n *int) {
	switch {
	case n == nil:
	case *n <= 0:
		t.Off, t.Field = true, field
	default:
		t.Budget, t.Field = *n, field
	}
}

// variables returns the variables of the template that say how the model may think. The client's
// own variables take precedence.
func (p *Params) variables() map[string]any {
	t, vars := p.Thinking, make(map[string]any)
	if t.Off {
		vars["enable_thinking"], vars["thinking"] = false, false
	}
	if t.Effort != "" {
		vars["reasoning_effort"] = t.Effort
		vars["enable_thinking"], vars["thinking"] = true, true
	}
	for name, value := range p.Variables {
		vars[name] = value
	}
	return vars
}

// budget returns the largest number of tokens that the model may think, -1 for any number. It is 0
// if thinking is off and the template has no switch for that, and the effort's budget if the
// template has no variable for the effort.
func (g *Generator) budget(t Thinking) int {
	switch {
	case g.thinking == nil:
		return -1
	case t.Off && !strings.Contains(g.template, "enable_thinking") &&
		!isSwitch(g.template, "thinking"):
		return 0
	case t.Off:
		return -1
	case t.Budget > 0:
		return t.Budget
	}
	if n, ok := effortBudgets[t.Effort]; ok && !strings.Contains(g.template, "reasoning_effort") {
		return n
	}
	return -1
}

// isSwitch reports whether a template tests a variable by its name alone.
func isSwitch(template, name string) bool {
	return strings.Contains(template, "if "+name) || strings.Contains(template, "not "+name) ||
		strings.Contains(template, name+" is defined")
}

// A reasoner separates the reasoning at the beginning of an answer from the rest. It drops white
// space at the ends of the reasoning and at the beginning of the rest. The result does not depend
// on how the bytes are cut into tokens.
type reasoner struct {
	form  *thinkingForm // nil: the model does not think aloud
	state reasonerState
	held  []byte // what may be the beginning of form.open, or of form.close
	end   stopMatcher
	text  decoder // has no stop strings: they end the answer proper
	found bool    // the answer begins with reasoning
	begun bool    // the reasoning has a character that is no white space
	space []byte  // white space behind the last character so far
}

type reasonerState int

const (
	beforeThinking reasonerState = iota
	inThinking
	afterThinking // white space
	answering
)

// newReasoner returns a reasoner; open says that the prompt has form.open already.
func newReasoner(form *thinkingForm, open bool) reasoner {
	r := reasoner{form: form, state: answering}
	if form != nil {
		r.state, r.end, r.text = beforeThinking, newStopMatcher(form.close), newDecoder(nil)
		if open {
			r.state, r.found = inThinking, true
		}
	}
	return r
}

// push takes the bytes of one token. It adds the reasoning that is certain to a, and returns the
// bytes that belong to the answer proper, which are valid until the next call.
func (r *reasoner) push(token []byte, a *assembly) []byte {
	if r.state == beforeThinking {
		token = r.begin(token)
	}
	if r.state == inThinking {
		token = r.think(token, a)
	}
	if r.state == afterThinking {
		if token = bytes.TrimLeft(token, " \t\r\n"); len(token) > 0 {
			r.state = answering
		}
	}
	if r.state == answering {
		return token
	}
	return nil
}

// begin decides whether the answer begins with reasoning. It returns what comes behind.
func (r *reasoner) begin(token []byte) []byte {
	r.held = append(r.held, token...)
	head := bytes.TrimLeft(r.held, " \t\r\n")
	rest, found := bytes.CutPrefix(head, []byte(r.form.open))
	switch {
	case found:
		r.state, r.found, r.held = inThinking, true, nil
		return rest
	case len(head) < len(r.form.open) && strings.HasPrefix(r.form.open, string(head)):
		return nil
	}
	r.state = answering
	rest, r.held = r.held, nil
	return rest
}

// think takes bytes of the reasoning and returns what comes behind its end.
func (r *reasoner) think(token []byte, a *assembly) (rest []byte) {
	for i, c := range token {
		if r.end.next(c) {
			r.held = append(r.held, token[:i+1]...)
			r.add(r.text.push(r.held[:len(r.held)-len(r.form.close)]), a)
			r.add(r.text.end(), a)
			r.state, r.held = afterThinking, nil
			return token[i+1:]
		}
	}
	r.held = append(r.held, token...)
	n := len(r.held) - r.end.matched
	r.add(r.text.push(r.held[:n]), a)
	r.held = append(r.held[:0], r.held[n:]...)
	return nil
}

// add adds text of the reasoning without the white space at its ends.
func (r *reasoner) add(text []byte, a *assembly) {
	if !r.begun {
		text = bytes.TrimLeft(text, " \t\r\n")
	}
	if len(text) == 0 {
		return
	}
	r.begun = true
	solid := bytes.TrimRight(text, " \t\r\n")
	if len(solid) == 0 {
		r.space = append(r.space, text...)
		return
	}
	a.addReasoning(append(r.space, solid...))
	r.space = append(r.space[:0], text[len(solid):]...)
}

// finish adds to a what was held back, when no more tokens come, and returns what belongs to the
// answer proper.
func (r *reasoner) finish(a *assembly) []byte {
	switch r.state {
	case beforeThinking:
		r.state = answering
		return r.held
	case inThinking:
		r.add(r.text.push(r.held), a)
		r.add(r.text.end(), a)
	}
	return nil
}

// withReasoning returns the text of an answer with its reasoning before it, as the model wrote it.
func (f *thinkingForm) withReasoning(reasoning, text string) string {
	return f.open + "\n" + reasoning + "\n" + f.close + "\n\n" + text
}

// cut separates the reasoning at the beginning of a text from the rest: clients that do not know
// the form send both back as one text.
func (f *thinkingForm) cut(text string) (reasoning, rest string, ok bool) {
	head, found := strings.CutPrefix(strings.TrimLeft(text, " \t\r\n"), f.open)
	if !found {
		return "", text, false
	}
	reasoning, rest, ok = strings.Cut(head, f.close)
	if !ok {
		return "", text, false
	}
	const space = " \t\r\n"
	return strings.Trim(reasoning, space), strings.TrimLeft(rest, space), true
}

// appendToken appends the bytes of a token. Control tokens have none of their own; those that mark
// a part of an answer have their text here.
func (g *Generator) appendToken(dst []byte, id int32) []byte {
	if text, ok := g.marks[id]; ok {
		return append(dst, text...)
	}
	return g.text.AppendToken(dst, id)
}

// mark returns the ids that a mark of a form is encoded to, nil where no ids spell it. A mark that
// is a control token is noted, so that its text is seen in answers.
func (g *Generator) mark(text string) []int32 {
	around := append(g.text.Encode("", true, 0), g.text.StopTokens()...)
	ids := g.text.Encode(text, true, 0)
	ids = slices.DeleteFunc(ids, func(id int32) bool { return slices.Contains(around, id) })
	if len(ids) == 1 && len(g.text.AppendToken(nil, ids[0])) == 0 {
		g.marks[ids[0]] = text
		return ids
	}
	ids = g.text.Encode(text, false, 0)
	var b []byte
	for _, id := range ids {
		b = g.text.AppendToken(b, id)
	}
	if !bytes.HasSuffix(b, []byte(text)) { // a space may be before it
		return nil
	}
	return ids
}
