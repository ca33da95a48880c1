package jinja

import "strings"

func set(names string) map[string]bool {
	m := make(map[string]bool)
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

// The methods of Python's types. Those of str that are left out make bytes or tables.
var (
	textMethods = set(`capitalize casefold center count endswith expandtabs find format format_map
		index isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable
		isspace istitle isupper join ljust lower lstrip partition removeprefix removesuffix replace
		rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title
		upper zfill`)
	listMethods  = set(`append clear copy count extend index insert pop remove reverse sort`)
	tupleMethods = set(`count index`)
	dictMethods  = set(`clear copy get items keys pop popitem setdefault update values`)
	// mutators are the methods that Jinja's ImmutableSandboxedEnvironment refuses.
	mutators = set(`append clear extend insert pop popitem remove reverse setdefault sort update`)

	// markupMethods are the methods of str that do for a Markup what they do for text.
	markupMethods = set(`capitalize casefold count endswith find index lower lstrip removeprefix
		removesuffix replace rfind rindex rsplit rstrip split splitlines startswith strip swapcase title
		upper isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable
		isspace istitle isupper`)

	floatMethods  = set(`is_integer`)
	intMethods    = set(`bit_length`)
	cyclerMethods = set(`next reset`)
	loopMethods   = set(`cycle changed`)
)

// methodNames are the methods of all types.
var methodNames = []map[string]bool{textMethods, listMethods, tupleMethods, dictMethods,
	floatMethods, intMethods, cyclerMethods, loopMethods}

// methodsOf returns the names of the methods of a value.
func methodsOf(v any) map[string]bool {
	switch v.(type) {
	case Text:
		return textMethods
	case List:
		return listMethods
	case Tuple, group, *rangeValue:
		return tupleMethods
	case *Dict:
		return dictMethods
	case int, bool:
		return intMethods
	case float64:
		return floatMethods
	case *cycler:
		return cyclerMethods
	case *loop:
		return loopMethods
	}
	return nil
}

// callMethod calls a method that methodsOf has.
func callMethod(s *state, of any, name string, a *args) any {
	s.spend(size(of) + a.size())
	v := methodValue(s, of, name, a)
	s.spend(size(v))
	return v
}

// methodValue returns what a method gives.
func methodValue(s *state, of any, name string, a *args) any {
	switch of := of.(type) {
	case Text:
		return textMethod(s, of, name, a)
	case *Dict:
		return dictMethod(s, of, name, a)
	case *loop:
		return of.method(s, name, a)
	case *cycler:
		a.bind(name)
		if name == "reset" {
			of.at = 0
			return nil
		}
		v := of.items[of.at]
		of.at = (of.at + 1) % len(of.items)
		return v
	case float64:
		a.bind(name)
		return of == float64(int(of))
	}
	if i, ok := integer(of); ok {
		a.bind(name)
		n := 0
		for u := magnitude(i); u > 0; u >>= 1 {
			n++
		}
		return n
	}
	return listMethod(s, of, name, a)
}

func listMethod(s *state, of any, name string, a *args) any {
	list := elements(s, of)
	switch name {
	case "copy":
		a.bind(name)
		return of
	case "count":
		v := a.bind(name, "/value")[0]
		n := 0
		for _, e := range list {
			if s.equal(e, v) {
				n++
			}
		}
		return n
	}
	b := a.bind(name, "/value", "/start?", "/stop?")
	n := len(list)
	for i := clamp(b.int(1, 0), n); i < clamp(b.int(2, n), n); i++ {
		if s.equal(list[i], b[0]) {
			return i
		}
	}
	fail("%s is not in list", s.repr(b[0]).s)
	return nil
}

// clamp returns a bound of a slice of n elements.
func clamp(i, n int) int {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}

func dictMethod(s *state, d *Dict, name string, a *args) any {
	switch name {
	case "get":
		b := a.bind(name, "/key", "/default?")
		if !s.hashable(b[0]) {
			fail("unhashable type: '%s'", typeName(b[0]))
		}
		if v, ok := d.get(s, b[0]); ok {
			return v
		}
		return b.value(1, nil)
	case "items":
		a.bind(name)
		return &view{name, d.pairs()}
	case "keys":
		a.bind(name)
		return &view{name, d.keys}
	case "values":
		a.bind(name)
		return &view{name, d.values}
	}
	a.bind(name)
	return d.copy(s)
}
