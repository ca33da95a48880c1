package generate

// A splitter parts an answer's bytes into text, from which it cuts the stop strings, and tool
// calls. What it finds does not depend on how the bytes are cut into tokens, so a stream and a
// whole answer always agree.
type splitter struct {
	text  decoder
	tools bool // the answer may have calls

	open    stopMatcher // of callOpen
	held    []byte      // text that may be the beginning of callOpen
	literal string      // what is left of the fixed text before the section that follows,
	section section     // which is this one
	name    []byte
	args    decoder // has no stop strings: they end text and not JSON
	value   jsonEnd
}

// A section is a part of an answer's form.
type section int

const (
	sectionText section = iota // not in a call
	sectionName
	sectionArgs
	sectionAfter // after a call: the next call or the end
)

func newSplitter(stops []string, tools bool) splitter {
	return splitter{text: newDecoder(stops), tools: tools, open: newStopMatcher(callOpen)}
}

// push takes the bytes of one token and adds to a what is certain now.
func (s *splitter) push(token []byte, a *assembly) {
	if s.section == sectionText && !s.tools {
		a.addText(s.text.push(token))
		return
	}
	for len(token) > 0 && !s.text.stopped {
		switch {
		case s.literal != "":
			s.literal, token = s.literal[1:], token[1:]
		case s.section == sectionText:
			token = s.pushText(token, a)
		case s.section == sectionName:
			token = s.pushName(token, a)
		case s.section == sectionArgs:
			n, done := s.value.scan(token)
			a.addArguments(s.args.push(token[:n]))
			token = token[n:]
			if done {
				s.literal, s.section = callClose, sectionAfter
			}
		case s.section == sectionAfter:
			s.literal, s.section = "\n"+callOpen+callName, sectionName
		}
	}
}

func (s *splitter) pushText(token []byte, a *assembly) (rest []byte) {
	for i, c := range token {
		if s.open.next(c) {
			s.held = append(s.held, token[:i+1]...)
			a.addText(s.text.push(s.held[:len(s.held)-len(callOpen)]))
			a.addText(s.text.end())
			if !s.text.stopped {
				s.literal, s.section = callName, sectionName
			}
			return token[i+1:]
		}
	}
	s.held = append(s.held, token...)
	n := len(s.held) - s.open.matched
	a.addText(s.text.push(s.held[:n]))
	s.held = append(s.held[:0], s.held[n:]...)
	return nil
}

func (s *splitter) pushName(token []byte, a *assembly) (rest []byte) {
	for i, c := range token {
		if c == callArgs[0] {
			a.addCall(string(s.name))
			s.name, s.value = s.name[:0], jsonEnd{}
			s.literal, s.section = callArgs[1:], sectionArgs
			return token[i+1:]
		}
		s.name = append(s.name, c)
	}
	return nil
}

// end adds to a what was held back, when no more tokens come.
func (s *splitter) end(a *assembly) {
	switch s.section {
	case sectionText:
		a.addText(s.text.push(s.held))
		a.addText(s.text.end())
	case sectionArgs:
		a.addArguments(s.args.end())
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
