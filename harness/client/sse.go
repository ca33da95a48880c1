package client

import (
	"bytes"
	"fmt"
	"io"
)

// maxEvent bounds the data of one event, in bytes, and so any line of it: a server that never ends
// a line must not take all of the client's memory. No answer comes near it. An event that is longer
// is this client's limit, and no fault of the server's.
const maxEvent = 16 << 20

// byteOrderMark may begin a text in UTF-8.
const byteOrderMark = "\ufeff"

// errLongEvent ends a stream whose event is longer than maxEvent.
var errLongEvent = fmt.Errorf("the client reads events of %d MiB at most; this one is longer",
	maxEvent>>20)

// An event is one server-sent event. Its data is only valid until the next one.
type event struct {
	data   []byte // its data lines, joined by LF
	failed bool   // its type is "error"

	// repeated says that it has the very data of the event before, and doubled that it has its id as
	// well, which is an event's own.
	repeated, doubled bool
}

// An eventReader reads a stream of server-sent events by section 9.2 of the WHATWG's "Server-sent
// events": one byte order mark is dropped, lines end in LF, CRLF or CR, comments and the fields id
// and retry are passed over, a field without a colon is empty.
//
// It may be used again for another stream.
type eventReader struct {
	lines

	// What the stream's end left, by which the standard sets no store: the data of an event without
	// a blank line after it. unended says that there is such an event.
	tail    []byte
	unended bool
	// odd is the first line that is none of the standard's, such as one of which a proxy has made
	// something else; "" there was none. A misread line would be a lost event, and the next one's
	// time a wrong one.
	odd string

	now, before []byte // data of this event and of the one before it
	id, lastID  string // their ids; "" none
}

// read calls each with every event that has any data, in order, until the stream ends, each returns
// false, or reading fails. It calls aside with every line that is no data, or the beginning of a
// long one. buffer is memory for reading; nothing of it is in use any more when read returns.
func (s *eventReader) read(r io.Reader, buffer []byte, aside func(line []byte),
	each func(e *event) bool) error {
	*s = eventReader{now: s.now[:0], before: s.before[:0],
		lines: lines{r: r, buf: buffer[:cap(buffer)], first: true}}
	var e event
	has := false
	for {
		line, ok := s.next()
		if !ok {
			break
		}
		if len(line) == 0 {
			if has {
				e.data, e.repeated = s.now, bytes.Equal(s.now, s.before)
				e.doubled = e.repeated && s.id != "" && s.id == s.lastID
				if !each(&e) {
					return nil
				}
				s.now, s.before = s.before[:0], s.now
			}
			e.failed, has = false, false
			s.lastID, s.id = s.id, ""
			continue
		}
		field, value := line, []byte(nil)
		if i := bytes.IndexByte(line, ':'); i >= 0 {
			field, value = line[:i], line[i+1:]
			if len(value) > 0 && value[0] == ' ' {
				value = value[1:]
			}
		}
		if string(field) != "data" {
			aside(line)
		}
		switch string(field) {
		case "data":
			if len(s.now)+len(value) >= maxEvent {
				return errLongEvent
			}
			if has {
				s.now = append(s.now, '\n')
			}
			s.now, has = append(s.now, value...), true
		case "event":
			e.failed = bytes.EqualFold(value, []byte("error"))
		case "id":
			s.id = string(value)
		case "", "retry":
		default:
			if s.odd == "" {
				s.odd = excerpt(line)
			}
		}
	}
	if has {
		s.tail, s.unended = s.now, true
	}
	return s.err
}

// lines cuts a stream into lines. Of a line that has no data it keeps only the
// beginning, from which an event reader sees that.
type lines struct {
	r        io.Reader
	buf      []byte
	from, to int // the bytes of buf that were read and not yet consumed
	searched int // of them: have no line's end
	first    bool
	end      bool // nothing is left to read
	err      error

	// A CR at the end of what was read ends its line at once, or the event would seem to come with
	// the next one; an LF that follows is of the same line's end. Only after a line that ended in
	// CRLF it is waited for: there it belongs to the pair.
	skipLF, pairs bool
	dropping      bool // the rest of the line is not kept
}

// maxOther is how much of a line is kept that is no data.
const maxOther = 1 << 10

// next returns the next line, also a last one that has no end.
func (s *lines) next() (line []byte, ok bool) {
	for {
		rest := s.buf[s.from:s.to]
		if s.skipLF && len(rest) > 0 {
			s.skipLF = false
			if rest[0] == '\n' {
				s.from++
				continue
			}
		}
		if s.first && len(rest) > 0 {
			if s.mark(rest) {
				continue
			}
		}
		if length, whole, ok := s.lineEnd(rest); ok {
			dropped := s.dropping
			s.from, s.searched, s.dropping = s.from+whole, 0, false
			if dropped { // a comment, or of no field that is known
				return rest[:min(length, maxOther)], true
			}
			return rest[:length], true
		}
		if s.end {
			if s.err != nil || len(rest) == 0 {
				return nil, false
			}
			s.from = s.to
			return rest, true
		}
		s.searched = max(0, len(rest))
		s.fill()
	}
}

// mark drops a byte order mark at the beginning of the stream. It is false where there is none, or
// where it was cut off.
func (s *lines) mark(rest []byte) (again bool) {
	const mark = byteOrderMark
	switch n := min(len(rest), len(mark)); {
	case string(rest[:n]) != mark[:n], n < len(mark) && s.end:
		s.first = false
		return false
	case n < len(mark):
		s.fill()
		return true
	}
	s.from, s.first = s.from+len(mark), false
	return true
}

// lineEnd finds the end of the first line: its length, and that with its end.
func (s *lines) lineEnd(rest []byte) (length, whole int, ok bool) {
	from := min(s.searched, len(rest))
	if s.pairs && from > 0 && rest[from-1] == '\r' {
		from-- // it waited for its LF
	}
	lf := bytes.IndexByte(rest[from:], '\n')
	line := rest[from:]
	if lf >= 0 {
		line = line[:lf]
	}
	cr := bytes.IndexByte(line, '\r')
	switch {
	case cr < 0 && lf < 0:
		return 0, 0, false
	case cr < 0:
		s.pairs = false
		return from + lf, from + lf + 1, true
	case lf == cr+1:
		s.pairs = true
		return from + cr, from + lf + 1, true
	case from+cr+1 < len(rest):
		s.pairs = false
		return from + cr, from + cr + 1, true
	case s.pairs && !s.end:
		return 0, 0, false
	}
	s.pairs, s.skipLF = false, true
	return from + cr, from + cr + 1, true
}

// fill reads more. It makes room for it: by moving what is there to the front, by dropping what
// need not be kept, or by growing.
func (s *lines) fill() {
	switch {
	case s.from == s.to:
		s.from, s.to = 0, 0
	case s.to == len(s.buf):
		s.to = copy(s.buf, s.buf[s.from:s.to])
		s.from = 0
	}
	if s.to == len(s.buf) && s.to > 2*maxOther && !bytes.HasPrefix(s.buf, []byte("data")) {
		s.dropping = true
		s.to, s.searched = maxOther, maxOther
	}
	if s.to == len(s.buf) {
		if len(s.buf) > maxEvent {
			s.end, s.err = true, errLongEvent
			return
		}
		s.buf = append(s.buf, make([]byte, max(len(s.buf), 4<<10))...)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.to:])
		s.to += n
		switch {
		case err == io.EOF:
			s.end = true
			return
		case err != nil:
			s.end, s.err = true, err
			return
		case n > 0:
			return
		}
	}
	s.end, s.err = true, io.ErrNoProgress
}
