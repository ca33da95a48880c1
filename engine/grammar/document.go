package grammar

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A document is a JSON text that is decoded once, so that following a reference costs no more than
// its pointer is long.
type document struct {
	root    *node
	nodes   int
	anchors map[anchor]*node // by schema resource and name; nil until the first one is looked up
	ids     map[string]*node // schema resources by their absolute URI
	dynamic map[string]int   // how often a name is a $dynamicAnchor
}

// An anchor is a name for a schema within a schema resource, which is a schema with an $id or the
// whole document.
type anchor struct {
	resource *node
	name     string
}

// A node is a value of a document.
type node struct {
	kind   byte   // one of {["0tfn: object, array, string, number, true, false, null; or broken
	text   string // of a string, decoded; of a number, as it is written
	keys   []string
	values []*node        // of an object, by keys; of an array
	index  map[string]int // places in keys; nil for small objects
	twice  bool           // an object that has a name twice; the last one counts
	parent *node
	id     int // its place in the document, for sets of nodes
	doc    *document

	// Of a schema that a maker made in place of a keyword: the schema that has the keyword, and it.
	from *node
	as   string
	// quiet says that unevaluatedProperties and its like do not see what the schema allows, because
	// it stands below a not.
	quiet bool
}

// parse decodes a JSON text; it returns nil if the text is not JSON or nests too deeply.
func parse(text []byte) *document {
	if !json.Valid(text) { // which bounds the nesting, too
		return nil
	}
	doc := &document{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	doc.root = doc.decode(d, nil)
	return doc
}

// decode reads one value, or returns nil at the end of an array or object.
func (doc *document) decode(d *json.Decoder, parent *node) *node {
	t, _ := d.Token() // the text is known to be valid
	n := &node{parent: parent, id: doc.nodes, doc: doc}
	doc.nodes++
	switch t := t.(type) {
	case json.Delim:
		n.kind = byte(t)
		for d.More() {
			if t == '{' {
				key, _ := d.Token()
				n.set(key.(string), doc.decode(d, n))
			} else {
				n.values = append(n.values, doc.decode(d, n))
			}
		}
		d.Token()
	case string:
		n.kind, n.text = '"', t
	case json.Number:
		n.kind, n.text = '0', string(t)
	case bool:
		n.kind = 'f'
		if t {
			n.kind = 't'
		}
	default:
		n.kind = 'n'
	}
	return n
}

// set gives an object a property.
func (n *node) set(key string, value *node) {
	if i := n.find(key); i >= 0 {
		n.values[i], n.twice = value, true
		return
	}
	if n.index == nil && len(n.keys) >= 16 {
		n.index = make(map[string]int)
		for i, k := range n.keys {
			n.index[k] = i
		}
	}
	if n.index != nil {
		n.index[key] = len(n.keys)
	}
	n.keys, n.values = append(n.keys, key), append(n.values, value)
}

// find returns the place of a property, or -1.
func (n *node) find(key string) int {
	if n.index == nil {
		return slices.Index(n.keys, key)
	}
	if i, ok := n.index[key]; ok {
		return i
	}
	return -1
}

// get returns a property of an object, or nil if there is none or if n is not an object.
func (n *node) get(key string) *node {
	if n == nil || n.kind != '{' {
		return nil
	}
	if i := n.find(key); i >= 0 {
		return n.values[i]
	}
	return nil
}

// pointer returns the JSON pointer to a node, as a fragment: #/properties/a.
func (n *node) pointer() string {
	if n.from != nil {
		return n.from.pointer()
	}
	if n.parent == nil {
		return "#"
	}
	i := slices.Index(n.parent.values, n)
	name := strconv.Itoa(i)
	if n.parent.kind == '{' && i >= 0 {
		name = strings.NewReplacer("~", "~0", "/", "~1").Replace(n.parent.keys[i])
	}
	return n.parent.pointer() + "/" + name
}

// write appends the value without white space, which is the only way that a grammar knows.
func (n *node) write(b []byte) []byte {
	switch n.kind {
	case '"':
		return append(b, quote(n.text)...)
	case '0':
		return append(b, n.text...)
	case 't':
		return append(b, "true"...)
	case 'f':
		return append(b, "false"...)
	case 'n':
		return append(b, "null"...)
	}
	b = append(b, n.kind)
	for i, v := range n.values {
		if i > 0 {
			b = append(b, ',')
		}
		if n.kind == '{' {
			b = append(append(b, quote(n.keys[i])...), ':')
		}
		b = v.write(b)
	}
	return append(b, n.kind+2) // the closing bracket comes two after the opening one
}

// quote writes a string as JSON, as literally as JSON allows.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // cannot fail for a string
	quoted := strings.TrimSuffix(b.String(), "\n")
	if strings.ContainsAny(s, "\u2028\u2029") {
		// encoding/json escapes these two for JavaScript's sake. An escape that the string itself
		// spells out has two backslashes.
		quoted = strings.ReplaceAll(quoted, `\\`, "\x00")
		quoted = strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(quoted)
		quoted = strings.ReplaceAll(quoted, "\x00", `\\`)
	}
	return quoted
}

// canonical returns a text that two values have in common exactly if they are the same JSON value.
func (n *node) canonical() string { return string(n.appendCanonical(nil)) }

func (n *node) appendCanonical(b []byte) []byte {
	switch n.kind {
	case '0':
		d := decimalOf(n.text)
		if d.negative {
			b = append(b, '-')
		}
		return append(append(append(b, d.whole...), '.'), d.frac...)
	case '[', '{':
		places := make([]int, len(n.values))
		for i := range places {
			places[i] = i
		}
		if n.kind == '{' {
			slices.SortFunc(places, func(i, j int) int {
				return strings.Compare(n.keys[i], n.keys[j])
			})
		}
		b = append(b, n.kind)
		for _, i := range places {
			if n.kind == '{' {
				b = append(b, quote(n.keys[i])...)
			}
			b = append(n.values[i].appendCanonical(b), ',')
		}
		return append(b, n.kind+2)
	}
	return n.write(b)
}

// resource returns the schema resource of a node: the nearest node around it that has an $id.
func (n *node) resource() *node {
	for n.parent != nil {
		if id := n.get("$id"); id != nil && id.kind == '"' && !strings.HasPrefix(id.text, "#") {
			return n
		}
		n = n.parent
	}
	return n
}

// uri returns the absolute URI of a schema resource, as far as it can be known.
func (n *node) uri() *url.URL {
	base := &url.URL{}
	if n.parent != nil {
		base = n.parent.resource().uri()
	}
	if id := n.get("$id"); id != nil && id.kind == '"' {
		if u, err := base.Parse(strings.TrimSuffix(id.text, "#")); err == nil {
			return u
		}
	}
	return base
}

// resolve follows a reference that stands in n. It returns nil if it points to nothing.
func (n *node) resolve(ref string) *node {
	before, fragment, _ := strings.Cut(ref, "#")
	at := n.resource()
	if before != "" {
		n.doc.indexNames()
		u, err := at.uri().Parse(before)
		if err != nil || n.doc.ids[u.String()] == nil {
			return nil
		}
		at = n.doc.ids[u.String()]
	}
	// A fragment is percent-encoded (RFC 6901, section 6). Many programs do not encode it, so what
	// leads nowhere when it is decoded is tried as it is; others encode a slash within a name, so
	// last it is decoded name by name.
	decoded, err := url.PathUnescape(fragment)
	if err != nil {
		decoded = fragment
	}
	if decoded != "" && decoded[0] != '/' {
		n.doc.indexNames()
		return n.doc.anchors[anchor{at, decoded}]
	}
	whole := func(s string) string { return s }
	part := func(s string) string {
		if u, err := url.PathUnescape(s); err == nil {
			return u
		}
		return s
	}
	// Some programs write pointers from the root even below an $id.
	for _, from := range []*node{at, n.doc.root} {
		for _, try := range []struct {
			pointer string
			decode  func(string) string
		}{{decoded, whole}, {fragment, whole}, {fragment, part}} {
			if target := from.follow(try.pointer, try.decode); target != nil {
				return target
			}
		}
	}
	return nil
}

// follow follows a JSON pointer (RFC 6901), whose names it decodes further.
func (n *node) follow(pointer string, decode func(string) string) *node {
	if pointer == "" {
		return n
	}
	for part := range strings.SplitSeq(pointer[1:], "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(decode(part))
		if n.kind == '[' {
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(n.values) {
				return nil
			}
			n = n.values[i]
		} else if n = n.get(part); n == nil {
			return nil
		}
	}
	return n
}

// schemaKeywords are the keywords whose values are a schema, or a list of schemas, and schemaMaps
// those whose values have schemas by names.
var (
	schemaKeywords = []string{"items", "additionalItems", "prefixItems", "contains",
		"unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties", "not",
		"if", "then", "else", "allOf", "anyOf", "oneOf", "contentSchema"}
	schemaMaps = []string{"$defs", "definitions", "properties", "patternProperties",
		"dependentSchemas", "dependencies"}
)

// indexNames finds the anchors and identifiers of the schemas in a document. The value
// of an unknown keyword is not searched: it is not a schema.
func (doc *document) indexNames() {
	if doc.anchors != nil {
		return
	}
	doc.anchors, doc.ids = make(map[anchor]*node), make(map[string]*node)
	doc.dynamic = make(map[string]int)
	var visit func(n *node)
	visitAll := func(n *node) {
		for _, v := range n.values {
			visit(v)
		}
	}
	visit = func(n *node) {
		for i, v := range n.values {
			key, isText := "", v.kind == '"'
			if n.kind == '{' {
				key = n.keys[i]
			}
			switch {
			case key == "$anchor" && isText:
				doc.anchors[anchor{n.resource(), v.text}] = n
			case key == "$dynamicAnchor" && isText:
				doc.anchors[anchor{n.resource(), v.text}] = n
				doc.dynamic[v.text]++
			case key == "$recursiveAnchor" && v.kind == 't':
				doc.dynamic[""]++
			case key == "$id" && isText && strings.HasPrefix(v.text, "#"): // before draft 2019-09
				doc.anchors[anchor{n.resource(), v.text[1:]}] = n
			case key == "$id" && isText:
				doc.ids[n.uri().String()] = n
			case slices.Contains(schemaMaps, key):
				visitAll(v)
			case n.kind == '[' || slices.Contains(schemaKeywords, key):
				visit(v)
			}
		}
	}
	visit(doc.root)
}

// resolveDynamic follows a $dynamicRef or $recursiveRef that stands in n. It returns nil if what it
// points to depends on the way to n, as where several schemas have the name.
func (n *node) resolveDynamic(ref string) *node {
	n.doc.indexNames()
	_, name, _ := strings.Cut(ref, "#")
	if n.doc.dynamic[name] > 1 {
		return nil
	}
	return n.resolve(ref)
}
