package tokenizer

import (
	"strings"

	"loadstone/engine/tokenizer/internal/jinja"
)

// rendered is a chat's text, and where in it is what was not written by the template.
type rendered struct {
	text    string
	foreign []interval // bytes of contents, or computed from them
	answers []answerSpan
}

// answerSpan is the place in the text of the content of a message whose ids are known.
type answerSpan struct{ start, end, message int }

// find finds the places of contents and answers in the rendered text of a chat. An answer is where
// its content is as a whole, except for white space at its ends, which templates may trim. If the
// template has dropped or changed a part of it, the answer is treated like any other content.
func find(text jinja.Text, chat messages, answers [][]int32) rendered {
	r := rendered{text: text.String()}
	spans := text.Spans()
	end := 0 // of the last answer
	for i, p := range spans {
		if n := len(r.foreign); p.Start == p.End {
			// it keeps a place
		} else if n > 0 && r.foreign[n-1].end == p.Start {
			r.foreign[n-1].end = p.End
		} else {
			r.foreign = append(r.foreign, interval{p.Start, p.End})
		}
		if p.Source < 0 || answers == nil || answers[p.Source] == nil || p.Start < end {
			continue
		}
		content := chat[p.Source].content
		if to, ok := whole(r.text, spans[i:], content); ok {
			r.answers = append(r.answers, answerSpan{p.Start, to, p.Source})
			end = to
		}
	}
	return r
}

// whole reports whether a content, except for white space at its ends, begins with the first of the
// spans of a text, and where it ends. The text may have been cut and joined again in between.
func whole(text string, spans []jinja.Span, content string) (end int, ok bool) {
	first := spans[0]
	core := strings.TrimRightFunc(content, jinja.Space)
	lead := len(core) - len(strings.TrimLeftFunc(core, jinja.Space))
	if core == "" {
		return first.End, true
	}
	if first.From > lead {
		return 0, false
	}
	for _, p := range spans {
		if p.Source != first.Source {
			continue
		}
		to := p.From + p.End - p.Start
		if p.From < len(content) && to >= len(core) {
			return p.End, text[first.Start:p.End] == content[first.From:to]
		}
	}
	return 0, false
}
