package jinja

// Dict is a Python dict: it keeps the order in which keys were set.
type Dict struct {
	keys, values []any
	index        map[string]int // of keys that are text, in large dicts
}

// indexed is the number of keys from which a dict has an index.
const indexed = 8

// NewDict returns a dict with keys that are text.
func NewDict(pairs ...Pair) *Dict {
	d := new(Dict)
	for _, p := range pairs {
		key := String(p.Key)
		if p.Foreign {
			key = Foreign(p.Key)
		}
		d.set(nil, key, p.Value)
	}
	return d
}

// Pair is a key of a dict and its value.
type Pair struct {
	Key     string
	Value   any
	Foreign bool // the key comes from outside of the template
}

// text returns the value of a key.
func (d *Dict) text(key string) (any, bool) {
	if d.index != nil {
		i, ok := d.index[key]
		if !ok {
			return nil, false
		}
		return d.values[i], true
	}
	for i, k := range d.keys {
		if t, ok := k.(Text); ok && t.s == key {
			return d.values[i], true
		}
	}
	return nil, false
}

// get returns the value of any key.
func (d *Dict) get(s *state, key any) (any, bool) {
	if t, ok := key.(Text); ok {
		return d.text(t.s)
	}
	for i, k := range d.keys {
		if s.equal(k, key) {
			return d.values[i], true
		}
	}
	return nil, false
}

func (d *Dict) set(s *state, key, value any) {
	t, isText := key.(Text)
	for i, k := range d.keys {
		if isText && d.index != nil {
			var ok bool
			if i, ok = d.index[t.s]; !ok {
				break
			}
			d.values[i] = value
			return
		}
		if s.equal(k, key) {
			d.values[i] = value
			return
		}
	}
	if !s.hashable(key) {
		fail("unhashable type: '%s'", typeName(key))
	}
	d.keys, d.values = append(d.keys, key), append(d.values, value)
	switch {
	case d.index != nil && isText:
		d.index[t.s] = len(d.keys) - 1
	case d.index == nil && len(d.keys) == indexed:
		d.index = make(map[string]int)
		for i, k := range d.keys {
			if t, ok := k.(Text); ok {
				d.index[t.s] = i
			}
		}
	}
}

func (d *Dict) copy(s *state) *Dict {
	c := new(Dict)
	for i, k := range d.keys {
		c.set(s, k, d.values[i])
	}
	return c
}

func (d *Dict) pairs() []any {
	list := make([]any, len(d.keys))
	for i, k := range d.keys {
		list[i] = Tuple{k, d.values[i]}
	}
	return list
}

func (s *state) hashable(v any) bool {
	s.spend(1)
	switch v := v.(type) {
	case List, *Dict:
		return false
	case *view:
		return v.kind == "values"
	case Tuple:
		for _, e := range v {
			if !s.hashable(e) {
				return false
			}
		}
	}
	return true
}
