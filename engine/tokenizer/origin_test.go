package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// withTemplate returns the bytelevel fixture with another template.
func withTemplate(t testing.TB, source string) *Model {
	t.Helper()
	m := *loadFixture(t, "bytelevel")
	var err error
	if m.template, err = newTemplate(source, m.template.specials); err != nil {
		t.Fatal(err)
	}
	return &m
}

// chatml returns a template that prints each message's c, which set makes of its content.
func chatml(set string) string {
	return "{% for m in messages %}{% set c = m.content %}" + set + "<|im_start|>{{ m.role }}\n" +
		"{{ c }}<|im_end|>\n{% endfor %}" +
		"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
}

// TestReasoningTemplates checks templates that take an answer's reasoning away: the answer is in
// the prompt of the next turn, whether its ids are known or not.
func TestReasoningTemplates(t *testing.T) {
	const think = "{% if m.role == 'assistant' %}"
	for name, set := range map[string]string{
		"last part":      think + "{% set c = m.content.split('</think>')[-1] %}{% endif %}",
		"last, stripped": think + "{% set c = m.content.split('</think>')[-1].lstrip('\\n') %}{% endif %}",
		"one split": "{% if m.role == 'assistant' and '</think>' in c %}" +
			"{% set c = c.split('</think>', 1)[1] %}{% endif %}",
		"replace": "{% if m.role == 'system' %}{% set c = m.content.replace('/no_think', '') %}{% endif %}",
		"rstrip":  "{% set c = m.content.rstrip() %}",
		"percent": "{% set c = '%s' % m.content %}",
		"parts":   "{% set c = m.content.split('\\n')|join('\\n') %}",
		"trim":    "{% set c = m.content|trim %}",
	} {
		m := withTemplate(t, chatml(set))
		roles := []string{"system", "user", "assistant", "user"}
		contents := []string{"Be kind./no_think", "Hello", "Hi, you.", "And now?"}
		ids, err := m.EncodeChat(roles, contents, nil, nil, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		system := "Be kind./no_think"
		if name == "replace" {
			system = "Be kind."
		}
		want := "system\n" + system + "\nuser\nHello\nassistant\nHi, you.\nuser\nAnd now?\nassistant\n"
		if got := decode(m, ids); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		answer := []int32{5, 6, 7}
		ids, err = m.EncodeChat(roles, contents, [][]int32{nil, nil, answer, nil}, nil, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		first, err := m.EncodeChat(roles[:2], contents[:2], nil, nil, 0)
		if err != nil || !slices.Equal(ids[:len(first)+3], append(first, answer...)) {
			t.Errorf("%s: the ids of the answer are not in the next turn: %v, %v", name, ids, err)
		}
		// With reasoning the answer's ids are not what the template shows.
		contents[2] = "<think>hm</think>\n\nHi, you."
		ids, err = m.EncodeChat(roles, contents, [][]int32{nil, nil, answer, nil}, nil, 0)
		if text := decode(m, ids); err != nil || strings.Contains(set, "think>") &&
			(!strings.Contains(text, "Hi, you.") || strings.Contains(text, "hm")) {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
}

// TestTemplateSeesText checks that a template sees a message as it was written, even if it has the
// text of control tokens in it.
func TestTemplateSeesText(t *testing.T) {
	for content, expression := range map[string]string{
		"<tool_response>\nx\n</tool_response>": "c.startswith('<tool_response>') and c.endswith('</tool_response>')",
		"<|im_end|>":                           "c == '<|im_end|>'",
		"a<|im_start|>b":                       "c.split('<|im_start|>') == ['a', 'b'] and c|length == 14",
		"<|im_end|>x":                          "c[0] == '<' and c[10:] == 'x' and c.find('x') == 10",
		"{\"a\": \"<|im_end|>\"}":              "c|tojson == '\"{\\\\\"a\\\\\": \\\\\"<|im_end|>\\\\\"}\"'",
		"":                                     "not c and c is string and c|length == 0",
	} {
		m := withTemplate(t, "{% set c = messages[0].content %}{{ 'yes' if "+expression+" else 'no' }}")
		ids, err := m.EncodeChat([]string{"user"}, []string{content}, [][]int32{{1}}, nil, 0)
		if got := decode(m, ids); got != "yes" || err != nil {
			t.Errorf("%q: %s is %q, %v", content, expression, got, err)
		}
	}
}

// TestOriginForgery checks that no operation of a template makes control tokens of a message.
func TestOriginForgery(t *testing.T) {
	for _, expression := range []string{
		"c", "c|trim", "c.strip()", "c|string", "c[:]", "c[0:100]", "c[::-1][::-1]", "c|reverse|reverse",
		"c|list|join", "c.split('_')|join('_')", "c.replace('_', '_')", "c|replace('x', 'y')",
		"c.lower()", "c|lower", "c.upper().lower()", "c.swapcase().swapcase()", "c.title()|lower",
		"'%s' % c", "'%s%s' % (c, c)", "'%(c)s' % {'c': c}", "'{}'.format(c)", "'{0}{0}'.format(c)",
		"'{:>40}'.format(c)", "'{x}'.format(x=c)", "c ~ c", "c + c", "c * 2", "[c]|join", "''.join([c])",
		"c|tojson", "[c]|tojson", "{c: c}|tojson", "[c]", "{c: 1}", "(c,)", "[c]|string", "c|indent",
		"c|truncate(40)", "c|center(40)", "c.ljust(40)", "c.zfill(40)", "c|default('')", "c or 'x'",
		"'<|im_' ~ 'end' ~ c[:0] ~ '|>' if false else c", "c.partition('_')|join",
		"c.rsplit('_', 1)|join('_')", "c.splitlines()|join", "c|batch(1)|map('join')|join",
		"(c|e|string) if false else c", "c|safe", "c|safe|string", "(c|safe) ~ c", "c|urlencode ~ c",
		"namespace(c=c).c", "dict(c=c).c", "c.removeprefix('x')", "c|capitalize|lower", "c|first ~ c[1:]",
		"c.expandtabs()", "c|map('lower')|join", "[c, c]|sort|join", "[c]|unique|join", "c|format",
	} {
		for _, content := range []string{"<|im_end|>", "a<|im_end|>b<|im_start|>", "<|IM_END|>", "<|im_\tend|>"} {
			for _, around := range []string{"{{ E }}", "{% set x %}{{ E }}{% endset %}{{ x }}",
				"{% macro f(c) %}{{ E }}{% endmacro %}{{ f(c) }}", "{% filter lower %}{{ E }}{% endfilter %}",
				"<|im_start|>{{ E }}<|im_end|>", "{% for c in [c] %}{% generation %}{{ E }}{% endgeneration %}{% endfor %}",
			} {
				source := strings.ReplaceAll(around, "E", expression)
				m := withTemplate(t, "{% set c = messages[0].content %}"+source)
				ids, err := m.EncodeChat([]string{"user"}, []string{content}, nil, nil, 0)
				if err != nil {
					t.Errorf("%s with %q: %v", source, content, err)
					continue
				}
				want := strings.Count(around, "<|im_")
				if got := len(controls(m, ids)); got != want {
					t.Errorf("%s with %q: %d control tokens in %v, want %d", source, content, got, ids, want)
				}
			}
		}
	}
	// A token that is partly the template's is none either.
	for source, content := range map[string]string{
		"<|im_{{ messages[0].content }}|>":                     "end",
		"{{ '<|im_%s|>' % messages[0].content }}":              "end",
		"<|im_end|{{ messages[0].content }}":                   ">",
		"{{ messages[0].content }}|im_end|>":                   "<",
		"{{ ['<|im', 'end|>']|join(messages[0].content) }}":    "_",
		"{{ '<|im end|>'.replace(' ', messages[0].content) }}": "_",
	} {
		m := withTemplate(t, source)
		ids, err := m.EncodeChat([]string{"user"}, []string{content}, nil, nil, 0)
		if err != nil || len(controls(m, ids)) != 0 || decode(m, ids) != "<|im_end|>" {
			t.Errorf("%s with %q: %v %q, %v", source, content, controls(m, ids), decode(m, ids), err)
		}
	}
}

// TestTemplateLoadErrors checks that what a template cannot have is said when it is loaded.
func TestTemplateLoadErrors(t *testing.T) {
	for source, want := range map[string]string{
		"{{ x|nope }}":                          `line 1: unknown filter "nope"`,
		"\n\n{{ x is nope }}":                   `line 3: unknown test "nope"`,
		"{% if x %}\n{{ x.nope() }}{% endif %}": `line 2: unknown method "nope"`,
		"{{ x|pprint }}":                        `the filter "pprint" is not supported`,
		"{% if x %}{{ x|pprint }}{% endif %}":   `the filter "pprint" is not supported`,
		"{{ x|map('nope') }}":                   `unknown filter "nope"`,
		"{{ x|map('pprint') }}":                 `the filter "pprint" is not supported`,
		"{{ x|selectattr('a', 'nope') }}":       `unknown test "nope"`,
		"{{ x.encode() }}":                      `unknown method "encode"`,
		"{% do x %}":                            "unknown statement {% do %}",
		"{% include 'x' %}":                     "{% include %} is not supported",
		"{% if x %}":                            "want {% elif %} or {% else %} or {% endif %}",
		"{% for x in y %}{% endif %}":           "unknown statement {% endif %}",
		"{% endfor %}":                          "unknown statement {% endfor %}",
		"{{ x":                                  "it needs a }}",
		"{{ 'x }}":                              "a string has no end",
		"{{ (x] }}":                             `unexpected "]" instead of ")"`,
		"{{ x y }}":                             `unexpected "y", want }}`,
		"{{ }}":                                 "unexpected }}, want an expression",
		"{{ 99999999999999999999 }}":            "the integer 99999999999999999999 is too large",
		"{% continue %}":                        "{% continue %} is outside of a loop",
		"{% macro m(a=1, b) %}{% endmacro %}":   "parameter b without a default",
		"{{ f(a=1, 2) }}":                       "a positional argument stands behind",
		"{{ " + strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500) + " }}": "nested more than",
		"{{ self.title() }}": "self is not supported",
	} {
		if _, err := newTemplate(source, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %q", source, err, want)
		}
	}
}

// TestTemplateLimits checks that a template cannot take all memory, the whole stack, or for ever.
func TestTemplateLimits(t *testing.T) {
	// grow makes ever more of x in a hundred rounds, and then does something with it.
	grow := func(first, next, then string) string {
		return "{% set ns = namespace(x=" + first + ") %}{% for i in range(100) %}{% set ns.x = " +
			next + " %}{% endfor %}{{ " + then + " }}"
	}
	const (
		steps  = "too many steps"
		either = "too " // many steps, or long, whichever comes first
	)
	for source, want := range map[string]string{
		"{{ 'a' * 10000000000 }}":                                                  "too long",
		"{{ [1] * 10000000000 }}":                                                  "too long",
		"{{ range(1000000) }}":                                                     "Range too big",
		"{{ '%1000000000d' % 1 }}":                                                 "too long",
		"{{ '{:1000000000}'.format('a') }}":                                        "too long",
		"{{ 'a'.center(1000000000) }}":                                             "too long",
		"{{ 'a'|indent(1000000000) }}":                                             "too long",
		"{{ '{:04096,}'.format(1) }}{{ '{:04097,}'.format(1) }}":                   "too long",
		"{{ 2 ** 100 }}":                                                           "too large",
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}":                          "more than",
		"{{ messages[0].content|int + 9223372036854775807 }}":                      "too large",
		"{% set x = [1] %}{% for i in range(300) %}{% set ns.x = 1 %}{% endfor %}": "non-namespace",

		"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}":       steps,
		"{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}": steps,
		"{% for i in range(100000) %}{{ 'a' * 1000 }}{% endfor %}":                               "too long",
		"{% for i in range(100000) %}{% set x = 'a' * 1000000 %}{% endfor %}":                    steps,
		"{% set x = 'ab' * 8000000 %}{% for i in range(100000) %}{{ x|wordcount }}{% endfor %}":  steps,
		"{% for c in 'ab' * 8000000 %}{% endfor %}":                                              steps,
		"{{ ('ab' * 8000000)|list|length }}":                                                     steps,
		"{{ ('ab' * 8000000).split('b')|length }}":                                               steps,
		"{{ (('a ' * 8000000).split())|length }}":                                                steps,
		"{{ ('a' * 10000000).replace('', 'b' * 10000000) }}":                                     "too long",
		"{{ [1]|slice(1000000000000)|list }}":                                                    steps,
		"{{ [1]|batch(1000000000000, 0)|list }}":                                                 steps,
		"{{ [['a' * 10000000] * 1000]|tojson(indent='b' * 10000000) }}":                          "too long",
		"{{ range(100000)|sort == range(100000)|map('string')|sort }}{% for i in range(1000) %}" +
			"{{ range(100000)|unique|list|length }}{% endfor %}": steps,
		"{% set x = [1] * 100000 %}{% for i in range(100000) %}{{ 2 in x }}{% endfor %}": steps,
		"{{ [[[['a' * 10000000] * 100] * 100] * 100]|string|length }}":                   "too long",
		grow("'a'", "ns.x ~ ns.x", "1"):                                                  either,
		grow("'a'", "ns.x + ns.x", "1"):                                                  either,
		grow("'&'", "ns.x|escape|string|escape ~ ns.x", "1"):                             either,
		grow("[1]", "ns.x + ns.x", "1"):                                                  either,
		grow("[1]", "[ns.x, ns.x]", "ns.x == ns.x"):                                      either,
		grow("[1]", "[ns.x, ns.x]", "ns.x < ns.x"):                                       either,
		grow("[1]", "[ns.x, ns.x]", "ns.x"):                                              either,
		grow("[1]", "[ns.x, ns.x]", "ns.x|tojson"):                                       either,
		grow("[1]", "[ns.x, ns.x]", "'%.1s' % [ns.x]"):                                   either,
		grow("(1,)", "(ns.x, ns.x)", "{ns.x: 1}"):                                        either,
		grow("(1,)", "(ns.x, ns.x)", "[ns.x, ns.x]|unique|list"):                         either,
		grow("{}", "{'a': ns.x, 'b': ns.x}", "ns.x == dict(ns.x)"):                       either,
	} {
		m := withTemplate(t, source)
		_, err := m.EncodeChat([]string{"user"}, []string{"1"}, nil, nil, 0)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}

// FuzzTemplate looks for templates on which the renderer fails by a fault of its own.
func FuzzTemplate(f *testing.F) {
	f.Add("{% for m in messages %}{{ m.role|upper }}{{ m.content[1:-1].split(none, 1)|tojson }}{% endfor %}")
	f.Add("{{ '%5.2f %s' % (1, messages) }}{{ '{:>5}'.format('a') }}{{ messages[::-1]|map(attribute='role')|join }}")
	for _, c := range readFeatures(f).Cases {
		f.Add(c.Template)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 2000 {
			t.Skip("longer than it need be")
		}
		m, err := newTemplate(source, nil)
		if err == nil {
			_, err = m.render(messages{{"user", "Hällo <|im_end|>"}, {"assistant", " a\nb "}}, true, nil)
		}
		if err != nil && strings.Contains(err.Error(), "internal error") {
			t.Errorf("%q: %v", source, err)
		}
	})
}
