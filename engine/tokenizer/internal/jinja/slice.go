package jinja

import "math"

// slice is of[start:stop:step]; nil stands for a part that is left out.
func slice(of, start, stop, step any) any {
	by := sliceIndex(step, 1)
	if by == 0 {
		fail("slice step cannot be zero")
	}
	r := sliceRange{start, stop, by}
	switch of := of.(type) {
	case Text:
		return r.text(of)
	case *rangeValue:
		from, to := r.bounds(of.len())
		return &rangeValue{of.start + from*of.step, of.start + to*of.step, of.step * by}
	}
	list, ok := sequence(of)
	if !ok {
		fail("'%s' object is not subscriptable", typeName(of))
	}
	part := r.list(list)
	if _, ok := of.(List); ok {
		return List(part)
	}
	return Tuple(part)
}

// sliceIndex returns an index of a slice, or fallback if it is left out.
func sliceIndex(v any, fallback int) int {
	if v == nil {
		return fallback
	}
	i, ok := integer(v)
	if !ok {
		fail("slice indices must be integers or None or have an __index__ method")
	}
	return i
}

// sliceRange says which elements of a value a slice takes.
type sliceRange struct {
	start, stop any
	step        int
}

// bounds returns which of n elements is the first, and the one before which the slice ends.
func (r sliceRange) bounds(n int) (from, to int) {
	low, high := 0, n // what bounds are limited to
	from, to = 0, n
	if r.step < 0 {
		low, high = -1, n-1
		from, to = n-1, -1
	}
	limit := func(v any, i int) int {
		if v == nil {
			return i
		}
		i = sliceIndex(v, 0)
		if i < 0 {
			i += n
		}
		return min(max(i, low), high)
	}
	return limit(r.start, from), limit(r.stop, to)
}

func (r sliceRange) text(t Text) Text {
	if r.step == 1 {
		from, to := r.bounds(t.length())
		i := t.offset(from)
		return t.sub(i, i+t.sub(i, len(t.s)).offset(max(0, to-from)))
	}
	runes := t.runes()
	var b builder
	for _, i := range r.indices(len(runes)) {
		b.text(runes[i].(Text))
	}
	return b.result()
}

func (r sliceRange) list(list []any) []any {
	if r.step == 1 {
		from, to := r.bounds(len(list))
		return list[from:max(from, to)]
	}
	var part []any
	for _, i := range r.indices(len(list)) {
		part = append(part, list[i])
	}
	return part
}

// indices returns the indices of the elements that the slice takes of n.
func (r sliceRange) indices(n int) []int {
	var list []int
	from, to := r.bounds(n)
	by := r.step
	for i := from; by > 0 && i < to || by < 0 && i > to; i += by {
		list = append(list, i)
		if by > 0 && i > math.MaxInt-by || by < 0 && i < math.MinInt-by {
			break
		}
	}
	return list
}
