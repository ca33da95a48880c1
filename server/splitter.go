package server

// How a tool call stands in an answer. Models that were trained on tools mostly know it from Hermes and Qwen; the grammar
// of an answer with tools holds every model to it, byte for byte, so that what is found here is always whole and valid.
// After the text of an answer come its calls, and nothing else.
const (
	callOpen  = "<tool_call>"
	callName  = "\n{\"name\": \""
	callArgs  = "\", \"arguments\": "
	callClose = "}\n</tool_call>"
)

// A splitter parts an answer's bytes into text, from which it cuts the stop strings, and tool calls. What it finds does
// not depend on how the bytes fall into tokens, so a stream and a whole answer always agree.
type splitter struct {
	text  decoder
	tools bool // calls are looked for

	open    stopMatcher // of callOpen
	held    []byte      // text that may be the beginning of callOpen
	literal string      // what is left of the fixed text before the next part,
	next    callPart    // which is this
	name    []byte
	args    decoder // no stop strings: they end text, not JSON
	value   jsonEnd
}

type callPart int

const (
	partText callPart = iota // not in a call
	partName
	partArgs
	partOpen // after a call: the next one or the end
)

func newSplitter(stops []string, tools bool) splitter {
	return splitter{text: newDecoder(stops), tools: tools, open: newStopMatcher(callOpen)}
}

// push takes the bytes of one token and tells g what is certain now.
func (s *splitter) push(token []byte, g *generation) {
	if s.next == partText && !s.tools {
		g.onText(s.text.push(token))
		return
	}
	for len(token) > 0 && !s.text.stopped {
		switch {
		case s.literal != "":
			s.literal, token = s.literal[1:], token[1:]
		case s.next == partText:
			token = s.pushText(token, g)
		case s.next == partName:
			token = s.pushName(token, g)
		case s.next == partArgs:
			n, done := s.value.scan(token)
			g.onArguments(s.args.push(token[:n]))
			token = token[n:]
			if done {
				s.literal, s.next = callClose, partOpen
			}
		case s.next == partOpen:
			s.literal, s.next = "\n"+callOpen+callName, partName
		}
	}
}

func (s *splitter) pushText(token []byte, g *generation) (rest []byte) {
	for i, c := range token {
		if s.open.next(c) {
			s.held = append(s.held, token[:i+1]...)
			g.onText(s.text.push(s.held[:len(s.held)-len(callOpen)]))
			g.onText(s.text.end())
			if !s.text.stopped {
				s.literal, s.next = callName, partName
			}
			return token[i+1:]
		}
	}
	s.held = append(s.held, token...)
	n := len(s.held) - s.open.matched
	g.onText(s.text.push(s.held[:n]))
	s.held = append(s.held[:0], s.held[n:]...)
	return nil
}

func (s *splitter) pushName(token []byte, g *generation) (rest []byte) {
	for i, c := range token {
		if c == callArgs[0] {
			g.onCall(string(s.name))
			s.name, s.value = s.name[:0], jsonEnd{}
			s.literal, s.next = callArgs[1:], partArgs
			return token[i+1:]
		}
		s.name = append(s.name, c)
	}
	return nil
}

// end tells g what was held back when no more tokens come.
func (s *splitter) end(g *generation) {
	switch s.next {
	case partText:
		g.onText(s.text.push(s.held))
		g.onText(s.text.end())
	case partArgs:
		g.onArguments(s.args.end())
	}
}

// A jsonEnd finds the end of a JSON object.
type jsonEnd struct {
	depth           int
	inString, slash bool
}

// scan returns how many of the bytes belong to the object, and whether it ends with them.
func (j *jsonEnd) scan(b []byte) (n int, done bool) {
	for i, c := range b {
		switch {
		case j.slash:
			j.slash = false
		case j.inString:
			j.slash, j.inString = c == '\\', c != '"'
		case c == '"':
			j.inString = true
		case c == '{' || c == '[':
			j.depth++
		case c == '}' || c == ']':
			if j.depth--; j.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(b), false
}
