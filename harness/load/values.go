package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxValue is the maximum size of a JSON value of a trace in bytes. A session with calls of a
// million tokens is smaller.
const maxValue = 256 << 20

// A valueReader reads the JSON values of a text. A value may span lines.
type valueReader struct {
	name   string
	lines  *lineReader
	values *json.Decoder
	line   int // line in which the last value began
}

func newValueReader(name string, r io.Reader) *valueReader {
	v := &valueReader{name: name, lines: &lineReader{r: r, line: 1}}
	v.values = json.NewDecoder(v.lines)
	return v
}

// next reads the next value into to. It returns io.EOF at the end. Any other error contains the
// line and is final.
func (v *valueReader) next(to any) error {
	var raw json.RawMessage
	v.values.More() // skips to the beginning of the next value
	begin := v.values.InputOffset()
	v.lines.bound = begin + maxValue
	err := v.values.Decode(&raw)
	v.line = v.lines.at(v.values.InputOffset() - int64(len(raw)))
	var syntax *json.SyntaxError
	switch {
	case err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s:%d: the file is cut off within the value that begins here; fetch it "+
			"again, or remove that value", v.name, v.lines.at(begin))
	case errors.Is(err, errLongValue):
		return fmt.Errorf("%s:%d: the value that begins here is longer than %d MB; no session is; "+
			"want a session or a call a line", v.name, v.lines.at(begin), maxValue>>20)
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%d: not JSON: %w", v.name, v.lines.at(syntax.Offset), err)
	case err != nil:
		return fmt.Errorf("%s:%d: %w", v.name, v.lines.at(begin), err)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return v.errorf("%w", err)
	}
	return nil
}

// errorf returns an error with the line of the value that was read last.
func (v *valueReader) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", v.name, v.line, fmt.Errorf(format, args...))
}

var errLongValue = errors.New("too long")

// A lineReader is a reader that knows the line of each byte.
type lineReader struct {
	r     io.Reader
	read  int64 // bytes so far
	bound int64 // maximum of read; 0 is no limit

	line  int     // number of the line at the last offset that at was called with
	since []int64 // offsets of the lines that begin after it
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

// at returns the number of the line that contains a byte. Calls must have increasing offsets, since
// at forgets earlier lines.
func (l *lineReader) at(offset int64) int {
	n := 0
	for n < len(l.since) && l.since[n] <= offset {
		n++
	}
	l.line += n
	l.since = append(l.since[:0], l.since[n:]...)
	return l.line
}
