package grammar

// A Thinking is reasoning that may come before an answer: any text between Open and Close. With
// Begun the answer begins within it, because the prompt has Open. The zero value is none.
type Thinking struct {
	Open, Close string
	Begun       bool
}

// maxSpace bounds the white space before reasoning and behind it.
const maxSpace = 8

// thinking makes a rule for an answer that root describes, behind reasoning where it has some. An
// answer cannot end within its reasoning.
func (b *builder) thinking(t Thinking, root symbol) symbol {
	if t.Close == "" {
		return root
	}
	space := b.repeat(b.bytes("  \t\t\n\n\r\r"), 0, maxSpace)
	thought := b.until(t.Close, b.seq(space, root))
	if t.Begun {
		return thought
	}
	return b.oneOf([]symbol{root}, []symbol{space, b.literal(t.Open), thought})
}

// until makes a rule for any text up to a mark, which rest follows. The answer cannot end within
// the text, unlike that of anyText.
func (b *builder) until(mark string, rest symbol) symbol {
	first := b.anyText(mark, rest)
	for i := range len(mark) {
		state := first + symbol(i)
		b.rules[state] = b.rules[state][1:] // without the alternative of nothing
	}
	return first
}
