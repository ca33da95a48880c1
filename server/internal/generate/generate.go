// Package generate makes answers, whatever API they are asked for in. A dialect's package validates
// a body into Params. A Generator turns them into a prompt, submits it to the engine and returns a
// Generation, which yields the answer piece by piece and, at its end, the whole Answer. A dialect's
// package then writes pieces and answers in the form of its API.
//
//	openai, anthropic        generate                                      engine
//	body --Validate--> Params --Encode--> prompt --Submit--> tokens
//	events <--Append-- Piece <--splitter, decoder-- bytes <--AppendToken-----+
//
// A model's text parts into the text of the answer and its tool calls (splitter), whole characters
// and no stop strings (decoder). The exact tokens of each answer are remembered (answers) or found
// in the agent's memory (recall), so that the agent's next prompt begins with the very tokens that
// are cached.
package generate

import (
	"context"
	"slices"
	"sync"
	"time"

	"loadstone/engine"
	"loadstone/engine/grammar"
)

// Text is what a Generator needs to know of the model's language. It has the methods of
// server.Text, which documents them. They are called from many goroutines at once.
type Text interface {
	EncodeChat(roles, contents []string, answers [][]int32, variables map[string]any, limit int) (
		[]int32, error)
	ChatTemplate() string
	AppendText(dst []byte, id int32) []byte
	AppendToken(dst []byte, id int32) []byte
	Encode(s string, special bool, limit int) []int32
	StopTokens() []int32
}

// rememberedTokens bounds the answers whose tokens are remembered, of all agents together: 4 MiB of
// ids.
const rememberedTokens = 1 << 20

// grammarBytes bounds the compiled grammars that are remembered.
const grammarBytes = 32 << 20

// A Generator makes answers with one engine and its model's text. Its methods may be called from
// many goroutines at once.
type Generator struct {
	engine   *engine.Engine
	text     Text
	template string        // of chats
	thinking *thinkingForm // of the model's reasoning; nil: it does not think aloud
	closing  []int32       // thinking.close; nil: no ids spell it
	tools    *toolForm     // of the calls of tools
	// describesTools says that the template describes tools to the model.
	describesTools bool
	marks          map[int32]string           // control tokens that mark a part of an answer
	vocabulary     func() *grammar.Vocabulary // made when the first answer must be held to a grammar
	answers        *answers
	grammars       *grammars
	blockTokens    int
	onToken        func(t engine.Token, since time.Duration)
}

// New returns a Generator. It calls onToken for every token of every answer, with the time since
// the answer's token before; for the first token, with the time since the request arrived.
func New(e *engine.Engine, t Text, onToken func(t engine.Token, since time.Duration)) *Generator {
	g := newGenerator(t)
	g.engine, g.blockTokens, g.onToken = e, e.Stats().BlockTokens, onToken
	return g
}

// newGenerator returns a Generator without its engine, made from the model's text alone.
func newGenerator(t Text) *Generator {
	g := &Generator{
		text:     t,
		template: t.ChatTemplate(),
		marks:    make(map[int32]string),
		answers:  newAnswers(rememberedTokens),
		grammars: newGrammars(grammarBytes),
	}
	g.vocabulary = sync.OnceValue(func() *grammar.Vocabulary {
		return grammar.NewVocabulary(g.engine.Vocab(), g.appendToken, t.StopTokens())
	})
	g.tools = toolFormOf(g.template)
	g.describesTools = g.tools.describes(g.template)
	if g.template != "" {
		for _, mark := range g.tools.marks() {
			g.mark(mark)
		}
	}
	if g.thinking = thinkingFormOf(g.template); g.thinking != nil {
		g.mark(g.thinking.open)
		g.closing = g.mark(g.thinking.close)
	}
	return g
}

// Encode returns the prompt of a request: the tokens of its conversation, or of its text.
func (g *Generator) Encode(p *Params) ([]int32, error) { return g.encode(p, 0) }

// encode is Encode. A prompt of more than limit tokens, unless limit is 0, is not encoded to its
// end.
func (g *Generator) encode(p *Params, limit int) ([]int32, error) {
	if p.Prompt != nil {
		ids := g.text.Encode(*p.Prompt, true, limit)
		if len(ids) == 0 {
			return nil, Invalid(p.PromptField, "%s: has no tokens", p.PromptField)
		}
		return ids, nil
	}
	return g.encodeChat(p, limit)
}

// Tokens returns the ids of a text. special makes control tokens of their text; around adds the
// tokens that begin and end every text.
func (g *Generator) Tokens(text string, special, around bool) []int32 {
	ids := g.text.Encode(text, special, 0)
	edge := g.text.Encode("", true, 0)
	switch {
	case special && !around && startsWith(ids, edge):
		return ids[len(edge):]
	case !special && around:
		return append(edge, ids...)
	}
	return ids
}

// TextOf returns the text of ids, with the text of control tokens. Bytes that are not valid UTF-8
// become U+FFFD.
func (g *Generator) TextOf(ids []int32) (string, error) {
	var b []byte
	for i, id := range ids {
		if n := g.engine.Vocab(); id < 0 || int(id) >= n {
			return "", Invalid("tokens", "tokens[%d]: %d; the model's are 0 to %d", i, id, n-1)
		}
		b = g.text.AppendText(b, id)
	}
	d := newDecoder(nil)
	text := string(d.push(b))
	return text + string(d.end()), nil
}

// Piece returns the bytes of a token; for a control token, its text.
func (g *Generator) Piece(id int32) []byte { return g.text.AppendText(nil, id) }

// Start submits a request, which arrived at the time given, to the engine. The caller must call
// Cancel of the Generation. ctx is the client's: it ends when the client goes away.
func (g *Generator) Start(ctx context.Context, p *Params, arrived time.Time) (*Generation, error) {
	begun := g.begun(p)
	prompt, err := g.encode(p, counted*g.engine.Longest())
	if err != nil {
		return nil, err
	}
	return g.start(ctx, p, prompt, begun, arrived)
}

func (g *Generator) start(
	ctx context.Context, p *Params, prompt []int32, begun beginning, arrived time.Time,
) (*Generation, error) {
	request, err := g.engineRequest(ctx, p, prompt, begun)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	stream, err := g.engine.Submit(running, request)
	if err != nil {
		cancel()
		return nil, err
	}
	return &Generation{
		Params:       p,
		Cancel:       cancel,
		PromptTokens: len(prompt),
		prompt:       prompt,
		generator:    g,
		client:       ctx,
		stream:       stream,
		begun:        begun,
		reasoner:     newReasoner(begun.form, begun.open),
		splitter:     g.splitterOf(p),
		proper:       unknown,
		arrived:      arrived,
	}, nil
}

// engineRequest returns the request in the engine's terms.
func (g *Generator) engineRequest(
	ctx context.Context, p *Params, prompt []int32, begun beginning,
) (engine.Request, error) {
	stops := slices.Clone(g.text.StopTokens())
	for _, id := range p.StopTokens {
		if n := g.engine.Vocab(); id < 0 || id >= n {
			return engine.Request{}, Invalid("stop_token_ids",
				"stop_token_ids: token %d; the model's are 0 to %d", id, n-1)
		}
		stops = append(stops, int32(id))
	}
	for id := range p.Sampling.Bias {
		if n := g.engine.Vocab(); int(id) >= n {
			return engine.Request{}, Invalid("logit_bias",
				"logit_bias: token %d; the model's are 0 to %d", id, n-1)
		}
	}
	maxTokens, err := g.maxTokens(p, len(prompt))
	if err != nil {
		return engine.Request{}, err
	}
	sure := 0
	if p.MaxTokensDefault {
		sure = min(maxTokens, max(sureTokens, p.MinTokens))
	}
	logprobs := 0
	if p.TopLogprobs >= 0 {
		// The engine's 0 reports nothing, not even the token's own.
		logprobs = min(max(p.TopLogprobs, 1), g.engine.Vocab())
	}
	mask, err := g.answerMask(ctx, p, begun, stops)
	if err != nil {
		return engine.Request{}, err
	}
	return engine.Request{
		Principal:  p.Principal,
		Salt:       p.Salt,
		Agent:      p.Agent,
		Prompt:     prompt,
		MaxTokens:  maxTokens,
		SureTokens: sure,
		Stop:       stops,
		Sampling:   p.Sampling,
		Mask:       mask.rule,
		Ahead:      mask.ahead,
		Logprobs:   logprobs,
		Durable:    p.Durable,
	}, nil
}

// answerMask returns the mask of an answer: its constraint, the budget of its reasoning, and what
// keeps it from ending early. stops are the tokens that end it.
func (g *Generator) answerMask(
	ctx context.Context, p *Params, begun beginning, stops []int32,
) (mask, error) {
	m, err := g.mask(ctx, p, begun)
	if err != nil {
		return mask{}, err
	}
	if n := g.budget(p.Thinking); n >= 0 && begun.form != nil {
		if g.closing == nil {
			return mask{}, Unsupported(p.Thinking.Field, "%s: this server cannot end "+
				"this model's reasoning, because no token spells %s", p.Thinking.Field,
				g.thinking.close)
		}
		m = g.within(m, begun.open, n)
	}
	if p.IgnoreEOS {
		m = keepGoing(m, g.text.StopTokens(), true, 0)
	}
	if p.MinTokens > 0 {
		m = keepGoing(m, stops, false, p.MinTokens)
	}
	return m, nil
}

// maxPlausible is the largest length that is cut rather than refused. Clients have defaults that
// are meant for models of a longer context, 32000 or 128000 as a rule; a length that no model has
// is a mistake, of which the client should hear.
const maxPlausible = 1 << 20

// counted is up to how many times the longest request the tokens of a prompt are counted that does
// not fit. Agents shorten a conversation by what the error says it is too long by, which it is by
// less than its double as a rule; to count on would take seconds for a body of some megabytes.
const counted = 2

// sureTokens is how long an answer gets for certain if its length is not named.
const sureTokens = 256

// maxTokens returns the largest length of an answer to a prompt of so many tokens: what the request
// names, and no more than what the prompt leaves of the longest request that the server can take. A
// length that the client named and that is cut is noted in p.
func (g *Generator) maxTokens(p *Params, prompt int) (int, error) {
	longest := g.engine.Longest()
	left, maxTokens := longest-prompt, p.MaxTokens
	if p.MaxTokensDefault && (maxTokens == 0 || maxTokens > left) {
		maxTokens = left
	}
	if p.CutLength && maxTokens > left && maxTokens <= maxPlausible {
		maxTokens = left
		p.CutTo = left
	}
	if left > 0 && maxTokens <= left {
		return maxTokens, nil
	}
	e := &LengthError{
		Prompt:  prompt,
		AtLeast: prompt > counted*longest,
		Longest: longest,
		Context: g.engine.Context(),
		Field:   p.PromptField,
	}
	if !p.MaxTokensDefault {
		e.MaxTokens = p.MaxTokens
	}
	return 0, e
}
