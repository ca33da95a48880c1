package grammar

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"strings"
)

// A SchemaError names a keyword of a schema that cannot be held.
type SchemaError struct {
	Tool    string // the tool whose parameters the schema describes, "" if there is none
	Path    string // JSON pointer to the schema that has the keyword, such as #/properties/a
	Keyword string // "" if no keyword is to blame
	Reason  string // a predicate of the keyword or of the schema, such as "is not supported"
}

func (e *SchemaError) Error() string {
	text := e.Path
	if e.Tool != "" {
		text = fmt.Sprintf("tool %q: %s", e.Tool, e.Path)
	}
	if e.Keyword == "" {
		return text + ": the schema " + e.Reason
	}
	return fmt.Sprintf("%s: the keyword %q %s", text, e.Keyword, e.Reason)
}

// Place returns where the keyword stands: the tool's name, if there is one, and a JSON pointer to
// the keyword as a URI fragment, in ASCII: act#/properties/a/pattern.
func (e *SchemaError) Place() string {
	pointer := strings.TrimPrefix(e.Path, "#")
	if e.Keyword != "" {
		pointer += "/" + e.Keyword
	}
	return e.Tool + "#" + (&url.URL{Fragment: pointer}).EscapedFragment()
}

// Schema compiles a JSON schema, all of which is held. Its errors are *SchemaError.
func Schema(schema []byte) (*Grammar, error) {
	g, _, err := Spec{Format: schema}.Compile(context.Background())
	return g, err
}

// maxUnheld bounds the list of keywords that are not held.
const maxUnheld = 32

// maxChoices bounds the number of ways to choose among the schemas of several anyOf and oneOf that
// hold for the same value.
const maxChoices = 10_000

// A compiler turns schemas into rules.
type compiler struct {
	*builder
	*langs
	ctx   context.Context
	reach int // an answer has fewer bytes; 0 if that is not known

	space      symbol // optional white space
	value      symbol // any value
	object     symbol // any object
	str        symbol // any string
	char       symbol // a character of a string
	oneDigit   symbol
	anyInteger symbol
	anyNumber  symbol
	automata   map[lang]symbol   // strings of a language
	sets       map[string]symbol // characters of a set
	intervals  map[interval]symbol

	// The following belong to one document.
	tool      string
	loose     bool // a keyword that cannot be held is left out
	unheld    []*SchemaError
	compiled  map[string]*compiled
	order     []*compiled               // as they were finished
	members   map[*node]map[string]bool // values of an enum, in canonical form
	meant     map[*node][]*node         // see implied
	opposites map[*node]*node           // see not
	quiet     int                       // how many quiet schemas are around the one that is added
	unsure    bool                      // valid has given up on a value
	level     int                       // how many objects and arrays are around at the moment
	hint      *SchemaError              // a reason why nothing may satisfy some schema
	choices   int
	compared  int
}

// compiled is a conjunction of schemas that has a rule, or whose rule is being made.
type compiled struct {
	at    *node // one of its schemas
	rule  symbol
	level int
	done  bool
	used  bool // something refers to the rule that was reserved
}

// newCompiler makes the rules that all schemas share.
func newCompiler(ctx context.Context, reach int) *compiler {
	c := &compiler{builder: newBuilder(), langs: newLangs(), ctx: ctx, reach: reach,
		automata: make(map[lang]symbol), sets: make(map[string]symbol),
		intervals: make(map[interval]symbol)}
	c.oneDigit = c.bytes("09")
	// White space is bounded, because otherwise a model could write nothing else for ever.
	c.space = c.oneOf(nil, []symbol{c.literal(" ")},
		[]symbol{c.literal("\n"), c.repeat(c.literal(" "), 0, 16)})
	c.char = c.stringChar()
	c.str = c.quoted(c.repeat(c.char, 0, -1))
	c.anyInteger, c.anyNumber = c.integer(), c.number()
	c.value = c.reserve()
	c.object = c.list("{", c.seq(c.pair(c.str, c.value)), 0, -1, "}")
	c.rules[c.value] = [][]symbol{
		{c.str}, {c.anyNumber}, {c.literal("true")}, {c.literal("false")}, {c.literal("null")},
		{c.array(c.value, 0, -1)}, {c.object},
	}
	c.check()
	return c
}

// begin prepares for a document.
func (c *compiler) begin(tool string, loose bool) {
	c.tool, c.loose = tool, loose
	c.compiled = make(map[string]*compiled)
	c.members = make(map[*node]map[string]bool)
	c.meant, c.opposites = make(map[*node][]*node), make(map[*node]*node)
	c.quiet, c.unsure = 0, false
	c.order, c.hint, c.level, c.choices, c.compared = nil, nil, 0, 0, 0
}

// document compiles a schema. If it is loose, the result is a rule in any case: if nothing less
// helps, for any value. An error is a *SchemaError or that of the context.
func (c *compiler) document(text []byte, tool string, loose, object bool) (symbol, error) {
	c.begin(tool, loose)
	mark := len(c.rules)
	rule, err := c.try(text, object)
	broken, ok := err.(*SchemaError)
	if !ok || !loose {
		return rule, err
	}
	c.cut(mark)
	forget(c.automata, mark)
	forget(c.sets, mark)
	forget(c.intervals, mark)
	c.leaveOut(broken)
	if object {
		return c.object, nil
	}
	return c.value, nil
}

// forget removes the rules from mark on from a map.
func forget[K comparable](rules map[K]symbol, mark int) {
	maps.DeleteFunc(rules, func(_ K, s symbol) bool { return int(s) >= mark })
}

const unsatisfiable = "cannot be held: nothing satisfies it"

// try compiles a schema, of which it may leave out keywords.
func (c *compiler) try(text []byte, object bool) (symbol, error) {
	doc := parse(text)
	if doc == nil {
		return 0, &SchemaError{c.tool, "#", "", "is not JSON, or nests deeper than 10000 levels"}
	}
	f := &conjunction{object: object}
	if err := c.add(f, doc.root, nil); err != nil {
		return 0, err
	}
	f.top = c.top(doc.root)
	rule, err := c.conjunction(f, doc.root)
	if err != nil {
		return 0, err
	}
	if !c.check() {
		return 0, &SchemaError{c.tool, "#", "", "refers to itself without anything in between"}
	}
	if len(c.rules[rule]) > 0 {
		return rule, nil
	}
	if c.hint != nil {
		return 0, c.hint
	}
	// What was finished first lies deepest.
	for _, d := range c.order {
		if d.rule >= 0 && len(c.rules[d.rule]) == 0 {
			return 0, &SchemaError{c.tool, d.at.pointer(), "", unsatisfiable}
		}
	}
	return 0, &SchemaError{c.tool, "#", "", unsatisfiable}
}

// refuse says that a keyword of a schema cannot be held: in an error, or if the document is loose
// in the list of what is not.
func (c *compiler) refuse(n *node, keyword, reason string) error {
	if c.loose && len(c.unheld) > maxUnheld {
		return nil
	}
	e := &SchemaError{c.tool, n.pointer(), keyword, reason}
	if n.from != nil && keyword == n.as {
		e = &SchemaError{c.tool, n.pointer(), n.as, reason}
	} else if n.from != nil {
		e = &SchemaError{c.tool, n.pointer(), n.as, fmt.Sprintf("cannot be held: in the schemas "+
			"that it amounts to, %q %s", keyword, reason)}
	}
	if !c.loose {
		return e
	}
	c.leaveOut(e)
	return nil
}

// leaveOut notes a keyword that is not held.
func (c *compiler) leaveOut(e *SchemaError) {
	for _, u := range c.unheld {
		if u.Tool == e.Tool && u.Path == e.Path && u.Keyword == e.Keyword {
			return
		}
	}
	if len(c.unheld) == maxUnheld {
		e = &SchemaError{e.Tool, "#", "", fmt.Sprintf("and others: more than %d keywords are "+
			"not held", maxUnheld)}
	}
	if len(c.unheld) <= maxUnheld {
		c.unheld = append(c.unheld, e)
	}
}

// assertions are the keywords that are held, besides those that combine schemas. Whatever is
// neither is an annotation, as the core of JSON Schema 2020-12 says in section 6.5.
var assertions = []string{
	"type", "enum", "const", "minLength", "maxLength", "pattern", "format",
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
	"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains",
	"unevaluatedItems",
	"properties", "required", "additionalProperties", "patternProperties", "propertyNames",
	"minProperties", "maxProperties", "unevaluatedProperties",
}

// isTrue reports whether a schema allows everything.
func isTrue(n *node) bool { return n.kind == 't' || n.kind == '{' && len(n.keys) == 0 }

// schema compiles the schemas that hold for the same value.
func (c *compiler) schema(nodes ...*node) (symbol, error) {
	f := &conjunction{}
	for _, n := range nodes {
		if err := c.add(f, n, nil); err != nil {
			return 0, err
		}
	}
	if len(nodes) == 0 {
		return c.value, nil
	}
	if len(nodes) == 1 {
		f.top = c.top(nodes[0])
	}
	return c.conjunction(f, nodes[0])
}

// inner is schema for what is inside an object or array.
func (c *compiler) inner(nodes ...*node) (symbol, error) {
	c.level++
	defer func() { c.level-- }()
	return c.schema(nodes...)
}

// conjunction compiles a conjunction, once.
func (c *compiler) conjunction(f *conjunction, at *node) (symbol, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if f.never {
		return c.oneOf(), nil
	}
	if len(f.nodes)+len(f.groups) == 0 {
		if f.object {
			return c.object, nil
		}
		return c.value, nil
	}
	if len(c.rules) > maxRules {
		err := c.refuse(at, "", fmt.Sprintf("is too large: all schemas of a request together "+
			"may take %d rules of grammar, which are used up here", maxRules))
		if f.object {
			return c.object, err
		}
		return c.value, err
	}
	key := f.key()
	if d := c.compiled[key]; d != nil {
		if !d.done && d.level == c.level {
			return 0, &SchemaError{c.tool, at.pointer(), "",
				"refers to itself without anything in between"}
		}
		d.used = true
		return d.rule, nil
	}
	d := &compiled{at: at, rule: c.reserve(), level: c.level}
	c.compiled[key] = d
	sym, err := c.combined(f)
	if err != nil {
		return 0, err
	}
	c.rules[d.rule] = [][]symbol{{sym}}
	if !d.used {
		d.rule = sym
	}
	d.done = true
	c.order = append(c.order, d)
	return d.rule, nil
}

// combined compiles the values of a conjunction.
func (c *compiler) combined(f *conjunction) (symbol, error) {
	if list, ok, err := c.candidates(f); ok || err != nil {
		return c.values(list), err
	}
	if len(f.groups) > 0 {
		return c.choice(f)
	}
	types, err := c.types(f)
	if err != nil {
		return 0, err
	}
	if f.object {
		if types &= objectType; types == 0 {
			return 0, &SchemaError{c.tool, "#", "type", "must be object for a tool's parameters"}
		}
	}
	var alternatives [][]symbol
	for _, t := range []typeSet{stringType, numberType, booleanType, nullType, arrayType,
		objectType} {
		if types&t == 0 {
			continue
		}
		sym, err := c.typed(t, types, f)
		if err != nil {
			return 0, err
		}
		alternatives = append(alternatives, []symbol{sym})
	}
	return c.oneOf(alternatives...), nil
}
