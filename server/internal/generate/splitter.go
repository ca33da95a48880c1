package generate

// A splitter parts an answer's bytes into text, from which it cuts the stop strings, and tool
// calls. What it finds does not depend on how the bytes are cut into tokens, so a stream and a
// whole answer always agree.
type splitter struct {
	text   decoder
	form   *toolForm // of calls; nil: the answer has none
	tools  []Tool    // whose parameters the form may need
	called bool      // an answer that begins like a call is one

	open    stopMatcher // of form.Open
	held    []byte      // text that may be the beginning of a call
	literal string      // what is left of the fixed text before the section that follows,
	section section     // which is this one
	name    []byte
	args    decoder // has no stop strings: they end text and not JSON
	value   jsonEnd
	xml     parameterReader
	cut     bool // the answer ends in the beginning of a call, before its name, which is no text
}

// A section is a part of an answer's form.
type section int

const (
	sectionStart section = iota // where a call may be that is the whole of the answer
	sectionText                 // not in a call
	sectionName
	sectionID // between the form's ID and its Args
	sectionArgs
	sectionAfter // after a call: the next call, the end of the calls, or the end
	sectionEnd   // of the calls
)

// newSplitter returns a splitter of an answer whose calls have a form; nil: it has none.
func newSplitter(stops []string, form *toolForm, tools []Tool) splitter {
	s := splitter{text: newDecoder(stops), form: form, tools: tools, section: sectionText}
	if form != nil {
		s.open = newStopMatcher(form.Open)
		if form.AtStart {
			s.section = sectionStart
		}
	}
	return s
}

// splitterOf returns the splitter of the answer to a request.
func (g *Generator) splitterOf(p *Params) splitter {
	form := g.callsOf(&p.Constraint)
	s := newSplitter(p.Stops, form, p.Constraint.Tools)
	// There is no text then, or none that can begin like a call.
	s.called = p.Constraint.Choice == ChoiceRequired ||
		p.Constraint.Schema != nil && form != nil && !form.AtStart
	return s
}

// push takes the bytes of one token and adds to a what is certain now.
func (s *splitter) push(token []byte, a *assembly) {
	if s.form == nil || s.section == sectionText && s.form.AtStart {
		a.addText(s.text.push(token))
		return
	}
	for len(token) > 0 && !s.text.stopped {
		switch {
		case s.literal != "":
			s.literal, token = s.literal[1:], token[1:]
		case s.section == sectionStart:
			token = s.pushStart(token)
		case s.section == sectionText && s.form.AtStart:
			a.addText(s.text.push(token))
			return
		case s.section == sectionText:
			token = s.pushText(token, a)
		case s.section == sectionName:
			token = s.pushName(token, a)
		case s.section == sectionID:
			token = s.pushID(token)
		case s.section == sectionArgs:
			token = s.pushArgs(token, a)
		case s.section == sectionAfter:
			token = s.pushAfter(token)
		case s.section == sectionEnd:
			return
		}
	}
}

// pushStart decides whether an answer is calls or text.
func (s *splitter) pushStart(token []byte) (rest []byte) {
	for i, c := range token {
		s.held = append(s.held, c)
		switch text := string(s.held); {
		case text == s.form.Open || text == s.form.Lead+s.form.Open:
			s.held = nil
			s.literal, s.section = s.form.Name, sectionName
			return token[i+1:]
		case !hasPrefix(s.form.Open, text) && !hasPrefix(s.form.Lead+s.form.Open, text):
			rest = append(s.held, token[i+1:]...)
			s.held, s.section = nil, sectionText
			return rest
		}
	}
	return nil
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

func (s *splitter) pushText(token []byte, a *assembly) (rest []byte) {
	for i, c := range token {
		if s.open.next(c) {
			s.held = append(s.held, token[:i+1]...)
			a.addText(s.text.push(s.held[:len(s.held)-len(s.form.Open)]))
			a.addText(s.text.end())
			s.held = nil
			if !s.text.stopped {
				s.literal, s.section = s.form.Name, sectionName
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
	behind, next := s.form.Args, sectionArgs
	if s.form.ID != "" {
		behind, next = s.form.ID, sectionID
	}
	for i, c := range token {
		if c == behind[0] {
			a.addCall(string(s.name))
			if s.form.XML {
				s.xml = newParameterReader(s.tool(string(s.name)))
			}
			s.name, s.value = s.name[:0], jsonEnd{}
			s.literal, s.section = behind[1:], next
			return token[i+1:]
		}
		s.name = append(s.name, c)
	}
	return nil
}

// pushID passes over the id that the model gives to a call: the client gets one of this server's.
func (s *splitter) pushID(token []byte) (rest []byte) {
	for i, c := range token {
		if c == s.form.Args[0] {
			s.literal, s.section = s.form.Args[1:], sectionArgs
			return token[i+1:]
		}
	}
	return nil
}

// tool returns the tool with this name, nil for none.
func (s *splitter) tool(name string) *Tool {
	for i := range s.tools {
		if s.tools[i].Name == name {
			return &s.tools[i]
		}
	}
	return nil
}

func (s *splitter) pushArgs(token []byte, a *assembly) (rest []byte) {
	if s.form.XML {
		rest, done := s.xml.push(token, s.form.Close, a)
		if done {
			s.section = sectionAfter
		}
		return rest
	}
	n, done := s.value.scan(token)
	a.addArguments(s.args.push(token[:n]))
	if done {
		s.literal, s.section = s.form.Close, sectionAfter
	}
	return token[n:]
}

// pushAfter decides whether another call follows.
func (s *splitter) pushAfter(token []byte) (rest []byte) {
	for i, c := range token {
		s.held = append(s.held, c)
		switch string(s.held) {
		case s.form.Next:
			s.held, s.section = nil, sectionName
			return token[i+1:]
		case s.form.End:
			s.held, s.section = nil, sectionEnd
			return token[i+1:]
		}
	}
	return nil
}

// end adds to a what was held back, when no more tokens come.
func (s *splitter) end(a *assembly) {
	switch s.section {
	case sectionStart, sectionText:
		if s.called && len(a.text) == 0 && len(s.held) > 0 {
			s.cut = true
			return
		}
		a.addText(s.text.push(s.held))
		a.addText(s.text.end())
	case sectionName:
		s.cut = true
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
