package server

import (
	"slices"
	"unicode/utf8"
)

// A decoder turns the bytes of an answer's tokens into text that may be sent: whole characters only, every byte that is
// part of none as U+FFFD, and nothing that is, or may yet become, a stop string.
//
// What it sends depends on the bytes alone and not on how they fall into tokens: the first stop string to be complete
// ends the text, so a stream and a whole answer always agree.
type decoder struct {
	stops   []stopMatcher
	raw     []byte // beginning of a character, at most 3 bytes
	text    []byte // whole characters; the tail of it may be the beginning of a stop string
	sent    int    // bytes of text that the last call returned
	stopped bool
	hit     string // the stop string that was complete
}

// newDecoder takes the stop strings, none of them empty. Where two are complete with the same character, the longer
// one counts, so that their order means nothing.
func newDecoder(stops []string) decoder {
	d := decoder{}
	for _, s := range stops {
		d.stops = append(d.stops, newStopMatcher(s))
	}
	slices.SortStableFunc(d.stops, func(a, b stopMatcher) int { return len(b.stop) - len(a.stop) })
	return d
}

// push takes the bytes of one token and returns the text that is now certain, which is valid until the next call.
// Once a stop string is complete, stopped is set and nothing more comes.
func (d *decoder) push(token []byte) []byte {
	if d.stopped {
		return nil
	}
	d.text = append(d.text[:0], d.text[d.sent:]...)
	d.raw = append(d.raw, token...)
	n := 0
	for n < len(d.raw) && utf8.FullRune(d.raw[n:]) {
		r, size := utf8.DecodeRune(d.raw[n:])
		n += size
		if d.put(r) {
			d.raw = d.raw[:0]
			return d.take(0)
		}
	}
	d.raw = append(d.raw[:0], d.raw[n:]...)
	held := 0
	for i := range d.stops {
		held = max(held, d.stops[i].matched)
	}
	return d.take(held)
}

// end returns what was held back when no more tokens come.
func (d *decoder) end() []byte {
	if d.stopped {
		return nil
	}
	d.text = append(d.text[:0], d.text[d.sent:]...)
	for range d.raw {
		if d.put(utf8.RuneError) {
			break
		}
	}
	d.raw = d.raw[:0]
	return d.take(0)
}

// put appends one character and reports whether it completes a stop string, which it then cuts off.
func (d *decoder) put(r rune) bool {
	from := len(d.text)
	d.text = utf8.AppendRune(d.text, r)
	if len(d.stops) == 0 {
		return false
	}
	for at := from; at < len(d.text); at++ {
		for i := range d.stops {
			if d.stops[i].next(d.text[at]) {
				d.text = d.text[:at+1-len(d.stops[i].stop)]
				d.stopped, d.hit = true, d.stops[i].stop
				return true
			}
		}
	}
	return false
}

// take returns all of the text but its last held bytes.
func (d *decoder) take(held int) []byte {
	d.sent = len(d.text) - held
	return d.text[:d.sent]
}

// A stopMatcher finds one stop string in a text that comes byte by byte (Knuth, Morris and Pratt 1977), so that no stop
// string, however repetitive, costs more than the text is long.
type stopMatcher struct {
	stop    string
	border  []int // border[i]: length of the longest proper prefix of stop that is a suffix of stop[:i+1]
	matched int   // length of the longest prefix of stop that is a suffix of the text so far
}

func newStopMatcher(stop string) stopMatcher {
	border := make([]int, len(stop))
	for i, k := 1, 0; i < len(stop); i++ {
		for k > 0 && stop[i] != stop[k] {
			k = border[k-1]
		}
		if stop[i] == stop[k] {
			k++
		}
		border[i] = k
	}
	return stopMatcher{stop: stop, border: border}
}

func (m *stopMatcher) next(c byte) bool {
	for m.matched > 0 && m.stop[m.matched] != c {
		m.matched = m.border[m.matched-1]
	}
	if m.stop[m.matched] == c {
		m.matched++
	}
	return m.matched == len(m.stop)
}
