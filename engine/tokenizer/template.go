package tokenizer

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// gemmaTemplate is the chat format of Gemma's instruction-tuned models, for Gemma models without a
// template. Unlike the template of those models it accepts roles in any order.
//
//go:embed gemma.jinja
var gemmaTemplate string

// template is a parsed chat template. It renders chats as transformers' apply_chat_template does.
// gonja differs from Python's Jinja in a few things, for which this package makes up: expressions
// that it cannot parse (rewrite.go), the index -n of a list of n (messages), and the filters trim
// and tojson. Other differences concern features that no template uses for a chat without tools: %
// formatting, **, and printing none.
type template struct {
	source   string
	parsed   *exec.Template
	specials map[string]string // variables of the tokenizer, such as bos_token

	// now is the time that strftime_now shows. It does not advance, because a date that changes at
	// midnight would change the beginning of every prompt, and every agent's cached prefix would be
	// lost.
	now time.Time
}

// newTemplate parses a template.
func newTemplate(source string, specials map[string]string) (*template, error) {
	source = strings.ReplaceAll(source, "\r\n", "\n")
	cfg := config.New()
	cfg.TrimBlocks, cfg.LeftStripBlocks = true, true
	const name = "/chat_template"
	loader, err := loaders.NewMemoryLoader(map[string]string{name: rewrite(source, cfg)})
	if err != nil {
		return nil, err
	}
	filters := exec.NewFilterSet(make(map[string]exec.FilterFunction)).Update(builtins.Filters)
	err = errors.Join(filters.Replace("trim", trimFilter), filters.Replace("tojson", jsonFilter))
	if err != nil {
		return nil, err
	}
	globals := exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables)
	parsed, err := exec.NewTemplate(name, cfg, loader, &exec.Environment{
		Context:           globals,
		Filters:           filters,
		Tests:             builtins.Tests,
		ControlStructures: builtins.ControlStructures,
		Methods:           builtins.Methods,
	})
	if err != nil {
		// gonja's error repeats the whole template and then gives the reason.
		text := err.Error()
		return nil, fmt.Errorf("chat template: %s", text[strings.LastIndex(text, "': ")+1:])
	}
	return &template{source: source, parsed: parsed, specials: specials, now: time.Now()}, nil
}

// render returns the text of a chat. A template that calls raise_exception to refuse the chat
// causes an error.
func (t *template) render(chat messages, generationPrompt bool) (text string, err error) {
	// gonja works by reflection, and may panic if a template uses a value as if it had another
	// type.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("chat template failed: %v", r)
		}
	}()
	var raised error
	vars := map[string]any{
		"messages":              chat,
		"add_generation_prompt": generationPrompt,
		"tools":                 nil,
		"documents":             nil,
		"raise_exception": func(message string) (string, error) {
			raised = fmt.Errorf("the model's chat template refuses this chat: %s", message)
			return "", raised
		},
		"strftime_now": func(format string) string { return strftime(t.now, format) },
	}
	for name, token := range t.specials {
		vars[name] = token
	}
	var out bytes.Buffer
	err = t.parsed.Execute(&out, exec.NewContext(vars))
	switch {
	case raised != nil:
		return "", raised
	case err != nil:
		return "", fmt.Errorf("chat template: %w", err)
	}
	return out.String(), nil
}

// messages is the chat in a template: a list of dictionaries with role and content.
type messages []map[string]any

// GetItem implements messages[i] in a template. gonja's own indexing does not support [-n] for a
// list of n.
func (m messages) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if ok && i < 0 {
		i += len(m)
	}
	if !ok || i < 0 || i >= len(m) {
		return exec.AsValue(nil), false
	}
	return exec.AsValue(m[i]), true
}

// pythonSpace reports whether Python's str.strip strips r.
func pythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// trimFilter is Jinja's filter trim.
func trimFilter(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if len(params.Args) > 0 {
		return exec.AsValue(strings.Trim(in.String(), params.First().String()))
	}
	return exec.AsValue(strings.TrimFunc(in.String(), pythonSpace))
}

// jsonFilter is the filter tojson. It writes strings, the only values in a chat, as Python's
// json.dumps does with ensure_ascii=False.
func jsonFilter(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if !in.IsString() {
		plain, _ := builtins.Filters.Get("tojson")
		return plain(e, in, params)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range in.String() {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return exec.AsSafeValue(b.String())
}

// strftime formats a time. It supports the directives that templates use for a date.
func strftime(t time.Time, format string) string {
	return strings.NewReplacer(
		"%d", t.Format("02"), "%m", t.Format("01"), "%Y", t.Format("2006"), "%y", t.Format("06"),
		"%b", t.Format("Jan"), "%B", t.Format("January"), "%a", t.Format("Mon"),
		"%A", t.Format("Monday"), "%H", t.Format("15"), "%M", t.Format("04"),
		"%S", t.Format("05"), "%j", t.Format("002"), "%%", "%",
	).Replace(format)
}
