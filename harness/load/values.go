package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxValue bounds a JSON value of a trace: a session of a million tokens a call is below it.
const maxValue = 256 << 20

// A valueReader reads the JSON values of a text, a line each or over many lines.
type valueReader struct {
	name   string
	lines  *lineReader
	values *json.Decoder
	line   int // in which the last value began
}

func newValueReader(name string, r io.Reader) *valueReader {
	v := &valueReader{name: name, lines: &lineReader{r: r, line: 1}}
	v.values = json.NewDecoder(v.lines)
	return v
}

// next reads the next value into to. It is io.EOF at the end; any other error has the line and is
// final.
func (v *valueReader) next(to any) error {
	var raw json.RawMessage
	v.values.More() // goes to where the next one begins
	begin := v.values.InputOffset()
	v.lines.bound = begin + maxValue
	err := v.values.Decode(&raw)
	v.line = v.lines.at(v.values.InputOffset() - int64(len(raw)))
	var syntax *json.SyntaxError
	switch {
	case err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s:%d: the file is cut off within what begins here; fetch it again, or take "+
			"it out from here on", v.name, v.lines.at(begin))
	case errors.Is(err, errLongValue):
		return fmt.Errorf("%s:%d: what begins here is longer than %d MB, which no session is; want a "+
			"session or a call a line", v.name, v.lines.at(begin), maxValue>>20)
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%d: no JSON: %w", v.name, v.lines.at(syntax.Offset), err)
	case err != nil:
		return fmt.Errorf("%s:%d: %w", v.name, v.lines.at(begin), err)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return v.errorf("%w", err)
	}
	return nil
}

// errorf is an error of the value that was read last.
func (v *valueReader) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", v.name, v.line, fmt.Errorf(format, args...))
}

var errLongValue = errors.New("too long")

// A lineReader counts lines as they are read. It fails beyond bound, unless that is 0.
type lineReader struct {
	r     io.Reader
	read  int64
	bound int64

	line  int     // of the byte at from
	from  int64   // before it nothing is asked any more
	since []int64 // where the line ends behind from are
}

func (l *lineReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i := 0; ; {
		j := bytes.IndexByte(p[i:n], '\n')
		if j < 0 {
			break
		}
		i += j + 1
		l.since = append(l.since, l.read+int64(i))
	}
	l.read += int64(n)
	if l.bound > 0 && l.read > l.bound && err == nil {
		err = errLongValue
	}
	return n, err
}

// at is the line of a byte, and of the first that says something after it. Bytes are asked for in
// order, and what lies before is forgotten.
func (l *lineReader) at(offset int64) int {
	n := 0
	for n < len(l.since) && l.since[n] <= offset {
		n++
	}
	l.line += n
	l.since = append(l.since[:0], l.since[n:]...)
	l.from = offset
	return l.line
}
