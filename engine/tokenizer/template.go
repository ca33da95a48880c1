package tokenizer

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"loadstone/engine/tokenizer/internal/jinja"
)

// gemmaTemplate is the chat format of Gemma's instruction-tuned models, for Gemma models without a
// template. Unlike the template of those models it accepts roles in any order.
//
//go:embed gemma.jinja
var gemmaTemplate string

// template is a parsed chat template. It renders chats as transformers' apply_chat_template does.
type template struct {
	source   string
	parsed   *jinja.Template
	specials map[string]string // variables of the tokenizer, such as bos_token

	// now is the time that strftime_now shows. It does not advance, because a date that changes at
	// midnight would change the beginning of every prompt, and every agent's cached prefix would be
	// lost.
	now time.Time
}

// newTemplate parses a template.
func newTemplate(source string, specials map[string]string) (*template, error) {
	parsed, err := jinja.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &template{source: source, parsed: parsed, specials: specials, now: time.Now()}, nil
}

// refusal is the error of a template that calls raise_exception.
type refusal struct{ message string }

func (r *refusal) Error() string {
	return "the model's chat template refuses this chat: " + r.message
}

// render returns the text of a chat. A template that calls raise_exception to refuse the chat
// causes an error.
func (t *template) render(
	chat messages, generationPrompt bool, variables map[string]any,
) (jinja.Text, error) {
	list := make(jinja.List, len(chat))
	for i, m := range chat {
		list[i] = jinja.NewDict(
			jinja.Pair{Key: "role", Value: jinja.String(m.role)},
			jinja.Pair{Key: "content", Value: jinja.Mark(m.content, i)},
		)
	}
	vars := make(map[string]any, len(variables)+8)
	for name, value := range variables {
		vars[name] = jinjaValue(value)
	}
	for _, name := range []string{"tools", "documents"} {
		if _, ok := vars[name]; !ok {
			vars[name] = nil // None, and not undefined
		}
	}
	vars["messages"] = list
	vars["add_generation_prompt"] = generationPrompt
	for name, token := range t.specials {
		vars[name] = jinja.String(token)
	}
	return t.renderWith(vars)
}

// renderWith renders the template with any variables.
func (t *template) renderWith(vars map[string]any) (jinja.Text, error) {
	vars["raise_exception"] = raiseException
	vars["strftime_now"] = &jinja.Func{Name: "strftime_now", Call: t.strftimeNow}
	text, err := t.parsed.Render(vars)
	if r := (*refusal)(nil); errors.As(err, &r) {
		return jinja.Text{}, r
	}
	if err != nil {
		return jinja.Text{}, fmt.Errorf("chat template: %w", err)
	}
	return text, nil
}

// message is a message of a chat, as a template gets it.
type message struct{ role, content string }

// messages is a chat.
type messages []message

// raiseException is transformers' function for templates that refuse a chat.
var raiseException = &jinja.Func{
	Name: "raise_exception",
	Call: func(args []any) (any, error) {
		if len(args) != 1 {
			return nil, errors.New("raise_exception() takes one argument")
		}
		return nil, &refusal{jinja.Str(args[0])}
	},
}

func (t *template) strftimeNow(args []any) (any, error) {
	if len(args) == 1 {
		if format, ok := args[0].(jinja.Text); ok {
			text, err := strftime(t.now, format.String())
			return jinja.String(text), err
		}
	}
	return nil, errors.New("strftime_now() takes one argument, the format")
}

// directives are the layouts of package time for the directives of strftime.
var directives = map[byte]string{
	'd': "02", 'm': "01", 'Y': "2006", 'y': "06", 'b': "Jan", 'h': "Jan", 'B': "January",
	'a': "Mon", 'A': "Monday", 'H': "15", 'I': "03", 'p': "PM", 'M': "04", 'S': "05", 'j': "002",
	'e': "_2", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04",
	'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
}

// strftime formats a time like strftime of Python on Linux, in the C locale and without a time
// zone, as transformers does. A - behind the % drops zeros and spaces before a number.
func strftime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		bare := strings.HasPrefix(format[i+1:], "-")
		if i++; bare {
			i++
		}
		if i >= len(format) {
			return "", fmt.Errorf("the format %q of strftime ends in a directive", format)
		}
		text, err := directive(t, format[i])
		if err != nil {
			return "", err
		}
		if bare {
			if short := strings.TrimLeft(text, "0 "); short != "" {
				text = short
			} else {
				text = "0"
			}
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// directive formats one directive of strftime.
func directive(t time.Time, name byte) (string, error) {
	day, weekday := t.YearDay()-1, int(t.Weekday())
	switch name {
	case '%':
		return "%", nil
	case 'n':
		return "\n", nil
	case 't':
		return "\t", nil
	case 'z', 'Z':
		return "", nil // transformers' time has no zone
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), nil
	case 'w':
		return fmt.Sprint(weekday), nil
	case 'u':
		return fmt.Sprint((weekday+6)%7 + 1), nil
	case 'U': // weeks begin on Sunday, and days before the first one are in week 0
		return fmt.Sprintf("%02d", (day+7-weekday)/7), nil
	case 'W':
		return fmt.Sprintf("%02d", (day+7-(weekday+6)%7)/7), nil
	case 'V', 'G':
		year, week := t.ISOWeek()
		if name == 'G' {
			return fmt.Sprint(year), nil
		}
		return fmt.Sprintf("%02d", week), nil
	}
	layout, ok := directives[name]
	if !ok {
		return "", fmt.Errorf("the directive %%%c of strftime is not supported", name)
	}
	return t.Format(layout), nil
}
