package jinja

// Limits of one rendering. A step stands for some 100 ns and 32 bytes of memory, so that a template
// that does not end, or makes ever more of what it has, fails within a second
// and some hundred megabytes. The templates of models take some 50 steps for a message.
const (
	maxSteps      = 1 << 22
	stepsOfValue  = 1 << 10 // more for each value among the variables, for long chats
	bytesOfValue  = 1 << 10 // of a text that count as one more value: it may be copied 32 times
	maxText       = 1 << 24 // bytes of a text
	maxList       = 1 << 20 // elements of a list that + or * makes
	maxWidth      = 1 << 12 // characters of a width, an indent, a precision
	bytesOfStep   = 32
	elementsScan  = 16 // elements that a step looks at
	elementsBuild = 2  // elements that a step makes
	runeSteps     = 4  // steps for a character that becomes a value of its own
	valueSteps    = 4  // steps for a value that is made in a loop
	callSteps     = 16 // steps for a call
)

// spend counts steps, and fails if the rendering takes too many. A nil state counts nothing.
func (s *state) spend(steps int) {
	if s == nil {
		return
	}
	if s.left -= steps; s.left < 0 {
		fail("the template takes too many steps for this chat: it does not end, or makes too much text")
	}
}

// size returns how many steps it takes to look at a value once, without what is in its elements.
func size(v any) int {
	switch v := v.(type) {
	case Text:
		return 1 + len(v.s)/bytesOfStep
	case List:
		return 1 + len(v)/elementsScan
	case Tuple:
		return 1 + len(v)/elementsScan
	case *Dict:
		return 1 + len(v.keys)/elementsScan
	case *view:
		return 1 + len(v.items)/elementsScan
	}
	return 1
}

func (a *args) size() int {
	n := 0
	for _, v := range a.pos {
		n += size(v)
	}
	for _, k := range a.kw {
		n += size(k.value)
	}
	return n
}

// values counts the values in one, itself included, and a long text as several.
func values(v any) int {
	n := 1
	switch v := v.(type) {
	case Text:
		n += len(v.s) / bytesOfValue
	case List:
		for _, e := range v {
			n += values(e)
		}
	case *Dict:
		for _, e := range v.values {
			n += values(e)
		}
	}
	return n
}

// filter applies a filter.
func (s *state) filter(f filter, v any, a *args) any {
	s.spend(size(v) + a.size())
	v = f(s, v, a)
	s.spend(size(v))
	return v
}

// test applies a test.
func (s *state) test(f test, v any, a *args) bool {
	s.spend(size(v) + a.size())
	return f(s, v, a)
}

// fits fails if a text would be too long.
func fits(bytes int) {
	if bytes > maxText {
		fail("a text of more than %d bytes is too long", maxText)
	}
}
