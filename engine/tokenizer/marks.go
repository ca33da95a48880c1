package tokenizer

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// marks are characters that are put into contents before rendering and taken out of the text
// afterwards. They show where the contents are in the text, whatever the template does with them.
// They are private-use characters that occur neither in the chat nor in the template.
type marks struct {
	// No control token may reach over a barrier. There is one at both ends of a content, and one
	// inside each literal of a control token in a content.
	barrier rune
	open    rune // an answer begins here; it stands on both sides of the message's number
	close   rune // an answer ends here
}

// newMarks chooses characters that occur neither in the template nor in the contents.
func newMarks(source string, contents []string) (marks, error) {
	const from, to = 0xF0000, 0xFFFFD // private use area A
	taken := make(map[rune]bool)
	scan := func(s string) {
		if strings.IndexByte(s, 0xF3) < 0 { // every character of the area begins with this byte
			return
		}
		for _, r := range s {
			if r >= from && r <= to {
				taken[r] = true
			}
		}
	}
	scan(source)
	for _, c := range contents {
		scan(c)
	}
	var free [3]rune
	n := 0
	for r := rune(from); n < len(free) && r <= to; r++ {
		if !taken[r] {
			free[n] = r
			n++
		}
	}
	if n < len(free) {
		return marks{}, errors.New("the chat uses all private-use characters," +
			" which leaves none to mark its messages with")
	}
	return marks{free[0], free[1], free[2]}, nil
}

// guard puts barriers into a content. White space at its ends stays outside the barriers, because
// templates may trim it.
func (m marks) guard(content string, controls *trie) string {
	core := strings.TrimLeftFunc(content, pythonSpace)
	lead := content[:len(content)-len(core)]
	core = strings.TrimRightFunc(core, pythonSpace)
	if core == "" {
		return content
	}
	tail := content[len(lead)+len(core):]
	barrier := string(m.barrier)
	var b strings.Builder
	b.WriteString(lead + barrier)
	for i := 0; i < len(core); {
		_, n := utf8.DecodeRuneInString(core[i:])
		b.WriteString(core[i : i+n])
		if controls.starts(core[i:]) {
			b.WriteString(barrier)
		}
		i += n
	}
	b.WriteString(barrier + tail)
	return b.String()
}

// answer puts marks around the content of a message whose ids are known.
func (m marks) answer(message int, content string) string {
	return string(m.open) + strconv.Itoa(message) + string(m.open) + content + string(m.close)
}

// rendered is a chat's text without marks, and the places that they marked.
type rendered struct {
	text     string
	barriers []int // byte offsets
	answers  []answerSpan
}

// answerSpan is the place in the text of the content of a message whose ids are known.
type answerSpan struct{ start, end, message int }

// read takes the marks out of the rendered text of a chat of n messages. If the template has cut
// off a mark of an answer, the answer is treated like any other content.
func (m marks) read(text string, n int) rendered {
	var r rendered
	var b strings.Builder
	b.Grow(len(text))
	pending := answerSpan{message: -1}
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case c == m.barrier:
			r.barriers = append(r.barriers, b.Len())
		case c == m.open:
			number, _, _ := strings.Cut(text[i+size:], string(m.open))
			message, err := strconv.Atoi(number)
			if err == nil && message >= 0 && message < n {
				pending = answerSpan{start: b.Len(), message: message}
				size += len(number) + utf8.RuneLen(m.open)
			}
		case c == m.close:
			if pending.message >= 0 {
				pending.end = b.Len()
				r.answers = append(r.answers, pending)
			}
			pending.message = -1
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	r.text = b.String()
	return r
}
