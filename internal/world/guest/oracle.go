package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"loadstone/engine/grammar"
	"loadstone/engine/ref"
)

// An oracle is the model called with one prompt at a time, with nothing beside it. It has one
// sequence, of which the tokens stay that the next prompt begins with.
type oracle struct {
	model *ref.Model
	held  []int32 // tokens whose KV the model has
	known map[string]answer
}

// An answer is what a prompt is answered with.
type answer struct {
	text    string
	tokens  []int32
	stopped bool   // by itself or a stop string, else by its length
	held    string // the text with all but the end of a stop string, which comes if a step fails
	said    int    // tokens that are in the text or a stop string; the others may have been computed
}

// until returns an answer that ends at the first of some stop strings.
func (a answer) until(stops []string) answer {
	text := a.text
	for _, s := range stops {
		at := strings.Index(text, s)
		if end := at + len(s); at >= 0 && (end < a.said || !a.cut()) {
			a.text, a.held, a.said, a.stopped = text[:at], text[:end-1], end, true
		}
	}
	return a
}

// cut reports whether a stop string has ended the answer.
func (a answer) cut() bool { return len(a.text) < len(a.tokens) }

const oracleBlock = contextTokens

func newOracle() *oracle {
	m := newModel()
	must(m.AllocKV(1, 1, oracleBlock))
	return &oracle{model: m, known: map[string]answer{}}
}

// answer returns the answer to a prompt.
func (o *oracle) answer(prompt []int32, how manner) (a answer) {
	key := fmt.Append(nil, how)
	for _, id := range prompt {
		key = append(key, byte(id))
	}
	if a, ok := o.known[string(key)]; ok {
		return a
	}
	// The second half of the seed is what the engine documents of its samplers.
	rng := rand.NewPCG(uint64(how.seed), 0x9e3779b97f4a7c15)
	var rule *grammar.Mask
	if how.tool {
		rule = newRule()
	}
	same := 0
	for same < min(len(o.held), len(prompt)-1) && o.held[same] == prompt[same] {
		same++
	}
	logits, start, next := make([]float32, vocabulary), int32(same), prompt[same:]
	for len(a.tokens) < how.max {
		n := int32(len(next))
		o.held = append(o.held[:start], next...)
		err := o.model.Step(next, []int32{n}, []int32{start}, []int32{0}, []int32{0}, []int32{n - 1},
			logits, nil, nil)
		must(err)
		start += n
		if rule != nil {
			rule.Rule(a.tokens, logits)
		}
		id := draw(logits, how.temperature, rng)
		if a.stopped = id >= tokenBegin; a.stopped {
			break
		}
		a.tokens, next = append(a.tokens, id), []int32{id}
	}
	var text []byte
	for _, id := range a.tokens {
		text = letters{}.AppendToken(text, id)
	}
	a.text, a.said = string(text), len(a.tokens)
	o.known[string(key)] = a
	return a
}

// draw draws a token, one number of rng for each, by the softmax of the logits.
func draw(logits []float32, temperature float64, rng *rand.PCG) int32 {
	best := int32(0)
	for i, l := range logits {
		if l > logits[best] {
			best = int32(i)
		}
	}
	if temperature == 0 {
		return best
	}
	weight := func(l float32) float64 { return math.Exp(float64(l-logits[best]) / temperature) }
	sum := 0.0
	for _, l := range logits {
		sum += weight(l)
	}
	left := float64(rng.Uint64()>>11) / (1 << 53) * sum
	for i, l := range logits {
		if left -= weight(l); left < 0 {
			return int32(i)
		}
	}
	return best
}

// newRule returns what holds an answer to a call of the tool.
func newRule() *grammar.Mask {
	spec := grammar.Spec{
		Tools:    []grammar.Tool{{Name: toolName, Parameters: []byte(toolSchema)}},
		Form:     grammar.Form{Open: callOpen, Args: callArgs, Close: callClose},
		Required: true,
	}
	g, _, err := spec.Compile(context.Background())
	must(err)
	return g.Mask(grammar.NewVocabulary(vocabulary, letters{}.AppendToken, letters{}.StopTokens()))
}
