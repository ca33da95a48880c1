package generate

import (
	"bytes"
	"encoding/json"

	"loadstone/engine/grammar"
	"loadstone/server/internal/wire"
)

// A parameterReader makes one JSON object of arguments that the model writes one by one. It passes
// a string on as it comes.
type parameterReader struct {
	parameters []grammar.Parameter // of the tool; nil: any
	known      bool

	held  []byte // of a mark, or of a value that is not given out yet
	end   stopMatcher
	in    bool // in a value
	raw   bool // the value is a string that is written as it is
	guess bool // whether it is JSON is seen at its end
	count int
	text  decoder
}

func newParameterReader(t *Tool) parameterReader {
	r := parameterReader{end: newStopMatcher(grammar.ParameterClose), text: newDecoder(nil)}
	if t != nil {
		r.parameters, _, r.known = grammar.Parameters(t.Parameters)
	}
	return r
}

// push takes bytes of the arguments, up to the mark that ends them, and adds what is certain to a.
// It returns the bytes behind the mark, and whether the mark was there.
func (r *parameterReader) push(token []byte, end string, a *assembly) (rest []byte, done bool) {
	for i, c := range token {
		if r.in {
			r.value(c, a)
			continue
		}
		r.held = append(r.held, c)
		switch {
		case string(r.held) == end:
			r.finish(a)
			return token[i+1:], true
		case bytes.HasPrefix(r.held, []byte(grammar.ParameterOpen)) &&
			bytes.HasSuffix(r.held, []byte(grammar.ParameterName)):
			name := r.held[len(grammar.ParameterOpen) : len(r.held)-len(grammar.ParameterName)]
			r.begin(string(name), a)
		}
	}
	return nil, false
}

// begin begins the parameter with this name.
func (r *parameterReader) begin(name string, a *assembly) {
	b := []byte("{")
	if r.count > 0 {
		b = []byte(", ")
	}
	r.count++
	b = append(wire.AppendPlainString(b, name), ": "...)
	r.in, r.raw, r.guess, r.held = true, false, !r.known, nil
	for _, p := range r.parameters {
		if p.Name == name {
			r.raw = p.Raw
		}
	}
	if r.raw {
		b = append(b, '"')
	}
	a.addArguments(b)
}

// value takes a byte of a value, or of the mark that ends it.
func (r *parameterReader) value(c byte, a *assembly) {
	r.held = append(r.held, c)
	if r.end.next(c) {
		value := r.held[:len(r.held)-len(grammar.ParameterClose)]
		switch {
		case r.raw:
			a.addArguments(inString(r.text.push(value)))
			a.addArguments(append(inString(r.text.end()), '"'))
		case r.guess && !json.Valid(value):
			a.addArguments(wire.AppendPlainString(nil, string(value)))
		default:
			a.addArguments(bytes.Clone(value))
		}
		r.in, r.held = false, nil
		r.end, r.text = newStopMatcher(grammar.ParameterClose), newDecoder(nil)
		return
	}
	if r.guess {
		return
	}
	n := len(r.held) - r.end.matched
	if r.raw {
		a.addArguments(inString(r.text.push(r.held[:n])))
	} else {
		a.addArguments(bytes.Clone(r.held[:n]))
	}
	r.held = append(r.held[:0], r.held[n:]...)
}

// inString returns a text in the form that it has within a JSON string.
func inString(text []byte) []byte {
	quoted := wire.AppendPlainString(nil, string(text))
	return quoted[1 : len(quoted)-1]
}

// finish ends the object.
func (r *parameterReader) finish(a *assembly) {
	if r.count == 0 {
		a.addArguments([]byte("{"))
	}
	a.addArguments([]byte("}"))
}
