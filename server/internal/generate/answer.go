package generate

import (
	"crypto/rand"

	"loadstone/engine"
)

// An Answer is a complete answer.
type Answer struct {
	Reasoning []byte // what the model thought before; not a part of the text
	Text      []byte
	Calls     []ToolCall
	Probs     []TokenProbs // of the tokens in Text, without stop strings; nil: not wanted
	Reason    string       // why the answer ended: ReasonStop, ReasonLength or ReasonToolCalls
	Stop      string       // the stop string that ended the answer, "" for none
	Usage     Usage
}

// Values of Answer.Reason.
const (
	ReasonStop      = string(engine.FinishStop)   // the model or a stop string ended the answer
	ReasonLength    = string(engine.FinishLength) // the answer has MaxTokens
	ReasonToolCalls = "tool_calls"                // the answer ends with calls of tools
)

// Usage counts the tokens of a prompt and of its answer.
type Usage struct {
	PromptTokens int
	OutputTokens int
	// ReasoningTokens are those of OutputTokens that are of the reasoning, its marks included.
	ReasoningTokens int
	Drafts          Drafts
	Start           engine.Start // what the cache was worth to the prompt

	// CacheableTokens is how many of the prompt's tokens are cached now, whether they were before
	// or not. A named agent's prompt is kept to the last token, an anonymous one's in whole blocks.
	CacheableTokens int
}

// Drafts counts the tokens of drafts that were computed along with an answer's, and those of them
// that are in the answer; see engine.Config.NoDrafts. All APIs have it in a field of their usage
// that is none of theirs. OpenAI's accepted_prediction_tokens and rejected_prediction_tokens look
// like the place for it. But they are of predictions that the client sends, and both are a part of
// completion_tokens, which is what is paid for; tokens that were drafted in vain are not. Programs
// that account for tokens subtract the two from completion_tokens, or add them to it.
type Drafts struct {
	Drafted  int `json:"drafted_tokens"`
	Accepted int `json:"accepted_tokens"`
}

// OrNil returns nil where nothing was drafted.
func (d Drafts) OrNil() *Drafts {
	if d == (Drafts{}) {
		return nil
	}
	return &d
}

// TokenProbs is the log-probability of a token, and of the likeliest tokens in its place.
type TokenProbs struct {
	Text    string
	Logprob float64
	Top     []TokenProbs // likeliest first; nil in these themselves
}

// Kinds of a Piece.
type PieceKind int

const (
	PieceText      PieceKind = iota
	PieceCall                // a tool call begins: its ID and Name are known
	PieceArguments           // a part of the arguments of the call that began last
	PieceReasoning           // of the reasoning, which comes before everything else
)

// A Piece is a part of an answer that became certain: whole characters of text, or of a tool call.
type Piece struct {
	Kind     PieceKind
	Bytes    []byte       // of all but PieceCall, at least one. They never change
	Probs    []TokenProbs // of PieceText: of the tokens since the piece before; nil: not wanted
	Call     int          // of PieceCall and PieceArguments: index of the call in the answer
	ID, Name string       // of PieceCall
}

// An assembly puts an answer together from what the splitter finds, and keeps what it found as
// pieces.
type assembly struct {
	reasoning  []byte
	text       []byte
	calls      []ToolCall   // the last one may be incomplete
	probs      []TokenProbs // of the answer's tokens, where they are wanted
	probsFrom  int          // how many of them come before the text
	probsGiven int          // how many of them are in a piece already
	pieces     []Piece      // since the last take
}

// take returns the pieces since the last call of it. They are valid until the next piece is added.
func (a *assembly) take() []Piece {
	pieces := a.pieces
	a.pieces = a.pieces[:0]
	return pieces
}

func (a *assembly) addText(b []byte) {
	if len(b) == 0 {
		return
	}
	from := len(a.text)
	a.text = append(a.text, b...)
	a.pieces = append(a.pieces,
		Piece{Kind: PieceText, Bytes: a.text[from:], Probs: a.probs[a.probsGiven:]})
	a.probsGiven = len(a.probs)
}

// skipProbs leaves out all log-probabilities but the last ones, which are of the text.
func (a *assembly) skipProbs(last int) {
	a.probsFrom = max(len(a.probs)-last, 0)
	a.probsGiven = a.probsFrom
}

func (a *assembly) addReasoning(b []byte) {
	from := len(a.reasoning)
	a.reasoning = append(a.reasoning, b...)
	a.pieces = append(a.pieces, Piece{Kind: PieceReasoning, Bytes: a.reasoning[from:]})
}

func (a *assembly) addCall(name string) {
	c := ToolCall{ID: "call_" + rand.Text(), Name: name}
	a.calls = append(a.calls, c)
	a.pieces = append(a.pieces,
		Piece{Kind: PieceCall, Call: len(a.calls) - 1, ID: c.ID, Name: c.Name})
}

func (a *assembly) addArguments(b []byte) {
	if len(b) == 0 {
		return
	}
	last := len(a.calls) - 1
	c := &a.calls[last]
	from := len(c.Arguments)
	c.Arguments = append(c.Arguments, b...)
	a.pieces = append(a.pieces, Piece{Kind: PieceArguments, Call: last, Bytes: c.Arguments[from:]})
}
