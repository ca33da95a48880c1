package generate

import (
	"slices"
	"unicode/utf8"
)

// A decoder turns the bytes of an answer's tokens into text that may be sent. This text has whole
// characters only, and nothing that is a stop string or may yet become one. In place of bytes that
// are not a part of a character stands one U+FFFD for each beginning of a character that does not
// go on, and for each other byte: Unicode calls it the substitution of maximal subparts (section
// 3.9 of the standard), and Python's decoder and the byte-level decoder of Hugging Face's
// tokenizers do the same.
//
// What it returns depends on the bytes alone and not on how they are cut into tokens: the first
// stop string to be complete ends the text, so a stream and a whole answer always agree.
type decoder struct {
	stops   []stopMatcher
	raw     []byte // beginning of a character, at most 3 bytes
	text    []byte // whole characters, of which the last may be the beginning of a stop string
	sent    int    // bytes of text that the last call returned
	mute    bool   // stop strings are not looked for yet
	stopped bool
	hit     string // the stop string that was complete
}

// newDecoder takes the stop strings, none of which is empty. Where two are complete with the same
// character, the longer one counts, so that their order means nothing.
func newDecoder(stops []string) decoder {
	d := decoder{}
	for _, s := range stops {
		d.stops = append(d.stops, newStopMatcher(s))
	}
	slices.SortStableFunc(d.stops, func(a, b stopMatcher) int { return len(b.stop) - len(a.stop) })
	return d
}

// push takes the bytes of one token and returns the text that is now certain, which is valid until
// the next call. Once a stop string is complete, stopped is set and no more text is returned.
func (d *decoder) push(token []byte) []byte {
	if d.stopped {
		return nil
	}
	d.text = append(d.text[:0], d.text[d.sent:]...)
	d.raw = append(d.raw, token...)
	n := 0
	for n < len(d.raw) && utf8.FullRune(d.raw[n:]) {
		r, size := utf8.DecodeRune(d.raw[n:])
		if r == utf8.RuneError && size == 1 {
			size = subpart(d.raw[n:])
		}
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

// end returns the text that was held back, when no more tokens come.
func (d *decoder) end() []byte {
	if d.stopped {
		return nil
	}
	d.text = append(d.text[:0], d.text[d.sent:]...)
	if len(d.raw) > 0 { // the beginning of one character
		d.put(utf8.RuneError)
	}
	d.raw = d.raw[:0]
	return d.take(0)
}

// subpart returns how many bytes at the beginning of b, where no character is, U+FFFD stands for:
// those of a character's beginning, or one.
func subpart(b []byte) int {
	n := 1
	for n < len(b) && !utf8.FullRune(b[:n+1]) {
		n++
	}
	if utf8.FullRune(b[:1]) {
		return 1 // a byte with which no character begins
	}
	return n
}

// put appends one character and reports whether it completes a stop string, which is then cut off.
func (d *decoder) put(r rune) bool {
	from := len(d.text)
	d.text = utf8.AppendRune(d.text, r)
	if len(d.stops) == 0 || d.mute {
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

// take returns all of the text except its last held bytes.
func (d *decoder) take(held int) []byte {
	d.sent = len(d.text) - held
	return d.text[:d.sent]
}
