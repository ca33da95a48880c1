package load

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A Body is how the bodies of requests differ from what every OpenAI server takes: fields that a
// server wants left out, under other names, or in addition.
type Body []Field

// A Field is one difference. One with neither a value nor another's is left out.
type Field struct {
	Name  string
	Value json.RawMessage // what is sent in it
	From  string          // the field whose value it takes, which is not sent under its own name
}

// BodyForm says how a field is written.
const BodyForm = "NAME= to leave a field out, NAME=JSON to send another value, or NAME=@OTHER to " +
	"send the field OTHER under this name"

// Add adds a field as BodyForm has it.
func (b *Body) Add(text string) error {
	f, rest, err := cutField(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("%q follows the value", rest)
	}
	if err == nil {
		err = b.add(f)
	}
	return err
}

// ParseBody reads fields that blanks separate.
func ParseBody(text string) (Body, error) {
	var b Body
	for text = strings.TrimSpace(text); text != ""; {
		f, rest, err := cutField(text)
		if err == nil {
			err = b.add(f)
		}
		if err != nil {
			return nil, err
		}
		text = rest
	}
	return b, nil
}

func (b *Body) add(f Field) error {
	switch {
	case f.Name == "messages" || f.From == "messages":
		return fmt.Errorf("messages are what the load asks, and stay as they are")
	case f.From == f.Name:
		return fmt.Errorf("%s cannot take its own value", f.Name)
	case slices.ContainsFunc(*b, func(g Field) bool { return g.Name == f.Name }):
		return fmt.Errorf("%s is given twice", f.Name)
	}
	*b = append(*b, f)
	return nil
}

// cutField reads the first field of a text and returns what follows it.
func cutField(text string) (f Field, rest string, err error) {
	name, value, ok := strings.Cut(text, "=")
	if f.Name = name; !ok || name == "" || strings.ContainsAny(name, " \t\"") {
		return f, "", fmt.Errorf("%q is not a field; want %s", text, BodyForm)
	}
	switch {
	case value == "" || value[0] == ' ' || value[0] == '\t':
		return f, strings.TrimSpace(value), nil
	case value[0] == '@':
		from, rest, _ := strings.Cut(value[1:], " ")
		if f.From = from; from == "" {
			err = fmt.Errorf("%q is not a field; want %s", text, BodyForm)
		}
		return f, strings.TrimSpace(rest), err
	}
	values := json.NewDecoder(strings.NewReader(value))
	if err := values.Decode(&f.Value); err != nil {
		return f, "", fmt.Errorf("%s: %s is not JSON; a text is written \"%[2]s\", quotes included",
			f.Name, value)
	}
	var short bytes.Buffer
	err = json.Compact(&short, f.Value)
	f.Value = short.Bytes()
	return f, strings.TrimSpace(value[values.InputOffset():]), err
}

// Of makes a request's body, a JSON object, the one that the server wants. What is not named stays.
func (b Body) Of(body []byte) ([]byte, error) {
	if len(b) == 0 {
		return body, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	had := func(name string) json.RawMessage { return bytes.Clone(fields[name]) }
	values := make([]json.RawMessage, len(b))
	for i, f := range b {
		if values[i] = f.Value; f.From != "" {
			values[i] = had(f.From)
		}
	}
	for _, f := range b {
		delete(fields, f.From)
		delete(fields, f.Name)
	}
	for i, f := range b {
		if values[i] != nil {
			fields[f.Name] = values[i]
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // what stays, stays byte for byte
	err := enc.Encode(fields)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// Changes reports whether what the load gives a field does not reach the server, under its name or
// another: a max_tokens that is left out bounds no answer.
func (b Body) Changes(name string) bool {
	moved := slices.ContainsFunc(b, func(f Field) bool { return f.From == name })
	return !moved && slices.ContainsFunc(b, func(f Field) bool { return f.Name == name })
}

// String is the body as ParseBody reads it, in the order of the names.
func (b Body) String() string {
	parts := make([]string, len(b))
	b = slices.SortedFunc(
		slices.Values(b),
		func(f, g Field) int { return cmp.Compare(f.Name, g.Name) },
	)
	for i, f := range b {
		if parts[i] = f.Name + "=" + string(f.Value); f.From != "" {
			parts[i] = f.Name + "=@" + f.From
		}
	}
	return strings.Join(parts, " ")
}

// A Header is one of a request.
type Header struct{ Name, Value string }

// ParseHeader reads a header such as "X-Team: storage".
func ParseHeader(text string) (Header, error) {
	name, value, ok := strings.Cut(text, ":")
	h := Header{strings.TrimSpace(name), strings.TrimSpace(value)}
	isToken := func(r rune) bool {
		return r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	isText := func(r rune) bool { return r >= ' ' && r != 0x7f || r == '\t' }
	if !ok || h.Name == "" ||
		strings.ContainsFunc(h.Name, func(r rune) bool { return !isToken(r) }) ||
		strings.ContainsFunc(text, func(r rune) bool { return !isText(r) }) {
		return h, fmt.Errorf("%q is not a header; want NAME: VALUE", text)
	}
	return h, nil
}
