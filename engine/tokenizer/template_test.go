package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"loadstone/engine/tokenizer/internal/jinja"
)

var chatsFile = flag.String("chats", "",
	"a file of testdata/templates/oracle.py DIR to compare with")

// oracleNow is the time at which oracle.py renders.
var oracleNow = time.Date(2026, 7, 4, 15, 6, 8, 9000, time.UTC)

// pythonValue decodes a JSON value as Python would, with the keys of objects in order.
func pythonValue(t testing.TB, raw json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value func() any
	next := func() json.Token {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	value = func() any {
		switch v := next().(type) {
		case string:
			return jinja.String(v)
		case json.Number:
			if i, err := v.Int64(); err == nil {
				return int(i)
			}
			f, _ := v.Float64()
			return f
		case json.Delim:
			list := jinja.List{}
			var pairs []jinja.Pair
			for d.More() {
				if v == '[' {
					list = append(list, value())
					continue
				}
				key := next().(string)
				pairs = append(pairs, jinja.Pair{Key: key, Value: value()})
			}
			next()
			if v == '[' {
				return list
			}
			return jinja.NewDict(pairs...)
		default:
			return v
		}
	}
	return value()
}

func pythonVariables(t testing.TB, raw map[string]json.RawMessage) map[string]any {
	vars := make(map[string]any)
	for name, v := range raw {
		vars[name] = pythonValue(t, v)
	}
	return vars
}

// renderLike loads and renders a template; loaded says whether it could be loaded.
func renderLike(source string, vars map[string]any) (text string, loaded bool, err error) {
	m, err := newTemplate(source, nil)
	if err != nil {
		return "", false, err
	}
	m.now = oracleNow
	out, err := m.renderWith(maps.Clone(vars))
	return out.String(), true, err
}

// sameFailure reports whether err is of the kind that oracle.py says.
func sameFailure(loaded bool, err error, want string) bool {
	kind, message, _ := strings.Cut(want, ": ")
	if strings.Contains(err.Error(), "internal error") {
		return false
	}
	var r *refusal
	raised := errors.As(err, &r)
	switch kind {
	case "raised":
		return raised && r.message == message
	case "syntax":
		return !loaded
	}
	return !raised // Python says it when rendering, and we may know it before
}

// refused are templates that transformers renders and this package refuses to load: it has none of
// these features, and says so before anybody asks.
var refused = map[string]string{
	"{% autoescape true %}x{% endautoescape %}": "autoescape",
	"{{ text|pprint }}":                         "pprint",
	"{{ html|striptags }}":                      "striptags",
	"{{ text|wordwrap(5) }}":                    "wordwrap",
	"{{ numbers|random }}":                      "random",
	"{{ text|urlize }}":                         "urlize",
	"{{ {'a': 1}|xmlattr }}":                    "xmlattr",
	"{{ lipsum(1) }}":                           "lipsum",
	"{{ text.encode() }}":                       "encode",
	"{{ text.translate({}) }}":                  "translate",
}

// featuresFile is features.json.
type featuresFile struct {
	Variables map[string]json.RawMessage
	Cases     []struct {
		Template, Error string
		Text            *string
	}
}

func readFeatures(t testing.TB) (o featuresFile) {
	t.Helper()
	data, err := os.ReadFile("testdata/templates/features.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestFeatures compares each feature of Jinja with transformers.
func TestFeatures(t *testing.T) {
	o := readFeatures(t)
	vars := pythonVariables(t, o.Variables)
	for _, c := range o.Cases {
		text, loaded, err := renderLike(c.Template, vars)
		if reason, ok := refused[c.Template]; ok {
			if loaded || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s\n got %q, %v\nwant an error with %q", c.Template, text, err, reason)
			}
			continue
		}
		switch {
		case c.Text == nil && (err == nil || !sameFailure(loaded, err, c.Error)):
			t.Errorf("%s\n got %q, %v (loaded: %t)\nwant error %s",
				c.Template, text, err, loaded, c.Error)
		case c.Text != nil && (err != nil || text != *c.Text):
			t.Errorf("%s\n got %q, %v\nwant %q", c.Template, text, err, *c.Text)
		}
	}
}

// TestChats compares whole templates, with the idioms of published ones, on conversations with
// transformers.
func TestChats(t *testing.T) {
	file := "testdata/templates/chats.json"
	if *chatsFile != "" {
		file = *chatsFile
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Conversations []map[string]json.RawMessage
		Templates     []struct {
			Name, Source string
			Texts        []*string
			Errors       map[int]string
		}
	}
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	equal, refusals := 0, 0
	for _, tmpl := range o.Templates {
		for i, conversation := range o.Conversations {
			text, loaded, err := renderLike(tmpl.Source, pythonVariables(t, conversation))
			want := tmpl.Texts[i]
			switch {
			case want == nil && err != nil && sameFailure(loaded, err, tmpl.Errors[i]):
				refusals++
			case want == nil:
				t.Errorf("%s, conversation %d:\n got %q, %v\nwant error %s",
					tmpl.Name, i, text, err, tmpl.Errors[i])
			case err != nil || text != *want:
				t.Errorf("%s, conversation %d:\n got %q, %v\nwant %q",
					tmpl.Name, i, text, err, *want)
			default:
				equal++
			}
		}
	}
	t.Logf("%d templates: %d texts equal, %d refused by both", len(o.Templates), equal, refusals)
}
