package responses

import (
	"encoding/json"
	"slices"
	"strconv"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// A Writer writes one response, whole or as events.
type Writer struct {
	response Response
	tools    toolNames
	keep     func(*Response) // stores a response that is complete; may clear its Store
	logprobs bool
	store    Owned
	seals    bool   // reasoning has its encrypted_content
	sealed   string // that, once the reasoning is whole

	sequence int // of the next event
	open     openItem
	text     []byte
	probs    []generate.TokenProbs
	call     generate.ToolCall // that is being written
}

// An openItem is the kind of the item that events add to.
type openItem int

const (
	openNone openItem = iota
	openText
	openCall
	openReasoning
)

// NewWriter returns a writer of the response with this id to a valid request. It calls keep with
// the complete response before the client gets its end.
func NewWriter(
	q *Request, id, model string, p *generate.Params, keep func(*Response),
) *Writer {
	return &Writer{
		response: q.newResponse(id, model, p),
		tools:    q.tools,
		keep:     keep,
		logprobs: p.TopLogprobs >= 0,
		store:    q.store,
		seals:    slices.Contains(q.Include, "reasoning.encrypted_content"),
	}
}

// Whole returns the body of an answer that does not stream.
func (w *Writer) Whole(a generate.Answer) any {
	w.finish(a)
	return w.response
}

// finish completes the response and passes it to keep. Events of its items may have been written
// already.
func (w *Writer) finish(a generate.Answer) {
	r := &w.response
	r.finish(a)
	r.Output = r.Output[:0]
	add := func(item []byte) { r.Output = append(r.Output, item) }
	status := func(last bool) string {
		if last && r.Status == statusIncomplete {
			return statusIncomplete
		}
		return statusCompleted
	}
	if len(a.Reasoning) > 0 {
		add(w.reasoningItem(itemID("rs_", r.ID, 0), a.Reasoning))
	}
	if len(a.Text) > 0 || len(a.Calls) == 0 {
		part := appendText(nil, a.Text, a.Probs)
		id := itemID("msg_", r.ID, len(r.Output))
		add(appendMessage(nil, id, status(len(a.Calls) == 0), part))
	}
	for i, c := range a.Calls {
		name := w.tools.of(c.Name)
		id := itemID(name.kind.prefix(), r.ID, len(r.Output))
		add(appendCall(nil, id, status(i == len(a.Calls)-1), name, c))
	}
	if r.Store {
		w.keep(r)
	}
}

// of returns the name that the model's tool has in this API.
func (t toolNames) of(name string) toolName {
	if n, ok := t[name]; ok {
		return n
	}
	return toolName{name: name}
}

// prefix begins the ids of items of the kind.
func (k callKind) prefix() string {
	return [...]string{functionCall: "fc_", customCall: "ctc_", shellCall: "lsh_"}[k]
}

// AppendKeepAlive appends a comment, which keeps a connection open while no token comes.
func (w *Writer) AppendKeepAlive(b []byte) []byte { return append(b, wire.KeepAlive...) }

// AppendStart appends what comes before the first piece.
func (w *Writer) AppendStart(b []byte, _ generate.Usage) []byte {
	b = w.appendResponse(b, "response.created")
	return w.appendResponse(b, "response.in_progress")
}

// AppendPiece appends the events of a piece.
func (w *Writer) AppendPiece(b []byte, p generate.Piece) []byte {
	switch p.Kind {
	case generate.PieceText:
		return w.appendTextPiece(b, p)
	case generate.PieceReasoning:
		return w.appendReasoningPiece(b, p)
	case generate.PieceCall:
		b = w.endItem(b, statusCompleted)
		w.open, w.call = openCall, generate.ToolCall{ID: p.ID, Name: p.Name}
		return w.appendItem(b, "response.output_item.added", w.callItem(statusInProgress))
	default:
		w.call.Arguments = append(w.call.Arguments, p.Bytes...)
		if w.name().kind != functionCall {
			return b // its input is not the text of the arguments
		}
		b = w.begin(b, "response.function_call_arguments.delta")
		return end(wire.AppendString(append(w.place(b), `,"delta":`...), p.Bytes))
	}
}

func (w *Writer) appendTextPiece(b []byte, p generate.Piece) []byte {
	if w.open != openText {
		b = w.endItem(b, statusCompleted)
		b = w.beginText(b)
	}
	w.text, w.probs = append(w.text, p.Bytes...), append(w.probs, p.Probs...)
	b = w.begin(b, "response.output_text.delta")
	b = append(w.place(b), `,"content_index":0,"delta":`...)
	b = append(wire.AppendString(b, p.Bytes), `,"logprobs":`...)
	if !w.logprobs {
		return end(append(b, "[]"...))
	}
	return end(append(b, encodeProbs(p.Probs)...))
}

func (w *Writer) appendReasoningPiece(b []byte, p generate.Piece) []byte {
	if w.open != openReasoning {
		b = w.endItem(b, statusCompleted)
		w.open, w.text = openReasoning, nil
		empty := appendReasoning(nil, w.itemID(), nil, "")
		b = w.appendItem(b, "response.output_item.added", empty)
		b = w.begin(b, "response.content_part.added")
		b = append(w.place(b), `,"content_index":0,"part":`...)
		b = end(appendReasoningText(b, nil))
	}
	w.text = append(w.text, p.Bytes...)
	b = w.begin(b, "response.reasoning_text.delta")
	b = append(w.place(b), `,"content_index":0,"delta":`...)
	return end(wire.AppendString(b, p.Bytes))
}

// reasoningItem returns the item of the whole reasoning, which is the same in every event.
func (w *Writer) reasoningItem(id string, text []byte) []byte {
	if w.seals && w.sealed == "" {
		w.sealed = w.store.seal(text)
	}
	return appendReasoning(nil, id, text, w.sealed)
}

// endReasoning appends the events of the whole reasoning.
func (w *Writer) endReasoning(b []byte) []byte {
	b = w.begin(b, "response.reasoning_text.done")
	b = append(w.place(b), `,"content_index":0,"text":`...)
	b = end(wire.AppendString(b, w.text))
	b = w.begin(b, "response.content_part.done")
	b = append(w.place(b), `,"content_index":0,"part":`...)
	return end(appendReasoningText(b, w.text))
}

func (w *Writer) beginText(b []byte) []byte {
	w.open, w.text, w.probs = openText, nil, nil
	empty := appendMessage(nil, w.itemID(), statusInProgress, nil)
	b = w.appendItem(b, "response.output_item.added", empty)
	b = w.begin(b, "response.content_part.added")
	b = append(w.place(b), `,"content_index":0,"part":`...)
	return end(appendText(b, nil, nil))
}

// endItem appends the events that end the open item, which has the status given.
func (w *Writer) endItem(b []byte, status string) []byte {
	var item []byte
	switch w.open {
	case openNone:
		return b
	case openText:
		b = w.begin(b, "response.output_text.done")
		b = append(w.place(b), `,"content_index":0,"text":`...)
		b = append(wire.AppendString(b, w.text), `,"logprobs":`...)
		b = end(append(b, encodeProbs(w.probs)...))
		part := appendText(nil, w.text, w.probs)
		b = w.begin(b, "response.content_part.done")
		b = end(append(append(w.place(b), `,"content_index":0,"part":`...), part...))
		item = appendMessage(nil, w.itemID(), status, part)
	case openReasoning:
		b = w.endReasoning(b)
		item = w.reasoningItem(w.itemID(), w.text)
	case openCall:
		b = w.endCall(b)
		item = w.callItem(status)
	}
	b = w.appendItem(b, "response.output_item.done", item)
	w.response.Output = append(w.response.Output, item)
	w.open = openNone
	return b
}

// endCall appends the events of a call's whole input.
func (w *Writer) endCall(b []byte) []byte {
	switch w.name().kind {
	case functionCall:
		b = w.begin(b, "response.function_call_arguments.done")
		b = wire.AppendString(append(w.place(b), `,"name":`...), w.name().name)
		return end(wire.AppendString(append(b, `,"arguments":`...), w.call.Arguments))
	case customCall:
		input := customInput(w.call.Arguments)
		b = w.begin(b, "response.custom_tool_call_input.delta")
		b = end(wire.AppendString(append(w.place(b), `,"delta":`...), input))
		b = w.begin(b, "response.custom_tool_call_input.done")
		b = end(wire.AppendString(append(w.place(b), `,"input":`...), input))
	}
	return b
}

// AppendFinish appends what comes after the last piece of a complete answer.
func (w *Writer) AppendFinish(b []byte, a generate.Answer) []byte {
	if w.open == openReasoning || w.open == openNone && len(w.response.Output) == 0 {
		b = w.endItem(b, statusCompleted)
		b = w.beginText(b)
	}
	status := statusCompleted
	if a.Reason == generate.ReasonLength {
		status = statusIncomplete
	}
	b = w.endItem(b, status)
	w.finish(a)
	return w.appendResponse(b, "response."+w.response.Status)
}

// AppendFailed appends the last event of a stream that failed.
func (w *Writer) AppendFailed(b []byte, code, message string) []byte {
	w.response.Status, w.response.Error = statusFailed, &responseError{code, message}
	return w.appendResponse(b, "response.failed")
}

// name returns the open call's name.
func (w *Writer) name() toolName { return w.tools.of(w.call.Name) }

// itemID returns the open item's id.
func (w *Writer) itemID() string {
	kind := "msg_"
	switch w.open {
	case openCall:
		kind = w.name().kind.prefix()
	case openReasoning:
		kind = "rs_"
	}
	return itemID(kind, w.response.ID, len(w.response.Output))
}

func (w *Writer) callItem(status string) json.RawMessage {
	return appendCall(nil, w.itemID(), status, w.name(), w.call)
}

// begin begins an event, and end ends it.
func (w *Writer) begin(b []byte, name string) []byte {
	b = append(append(b, "event: "...), name...)
	b = append(append(b, "\ndata: {\"type\":\""...), name...)
	b = strconv.AppendInt(append(b, `","sequence_number":`...), int64(w.sequence), 10)
	w.sequence++
	return b
}

func end(b []byte) []byte { return append(b, "}\n\n"...) }

// place appends the place of the open item, to which an event belongs.
func (w *Writer) place(b []byte) []byte {
	b = wire.AppendString(append(b, `,"item_id":`...), w.itemID())
	return strconv.AppendInt(append(b, `,"output_index":`...), int64(len(w.response.Output)), 10)
}

// appendItem appends an event that has the whole open item.
func (w *Writer) appendItem(b []byte, name string, item []byte) []byte {
	b = w.begin(b, name)
	b = strconv.AppendInt(append(b, `,"output_index":`...), int64(len(w.response.Output)), 10)
	return end(append(append(b, `,"item":`...), item...))
}

// appendResponse appends an event that has the whole response.
func (w *Writer) appendResponse(b []byte, name string) []byte {
	b = append(w.begin(b, name), `,"response":`...)
	return end(append(b, wire.Encode(w.response)...))
}
