package proc

import (
	"bytes"
	"strings"
	"sync"
)

// lastWords keeps, of what is written to it, the last line that is not empty, and the first line by
// which a Go program says that it dies: after that one come thousands of lines of stack traces.
type lastWords struct {
	mu    sync.Mutex
	line  []byte // the line that has not ended yet
	last  string
	fatal string
}

// maxWords bounds a line, in bytes.
const maxWords = 8 << 10

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		part, rest, ended := bytes.Cut(p, []byte("\n"))
		l.line = append(l.line, part[:min(len(part), maxWords-len(l.line))]...)
		if ended {
			l.end()
		}
		p = rest
	}
	return n, nil
}

// end takes note of the line.
func (l *lastWords) end() {
	line := strings.TrimSpace(string(l.line))
	l.line = l.line[:0]
	if line == "" {
		return
	}
	l.last = line
	if l.fatal == "" && isFatal(line) {
		l.fatal = line
	}
}

// isFatal reports whether a line is one by which the Go runtime ends a program.
func isFatal(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}

// words are the last words until now, "" if there are none.
func (l *lastWords) words() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal != "" {
		return l.fatal
	}
	if line := strings.TrimSpace(string(l.line)); line != "" {
		return line
	}
	return l.last
}
