package command

import (
	"fmt"
	"io"
	"sync"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/terminal"
)

// steps tells of an audit, which step it is at and how many requests of that have ended: on a terminal in one line that is
// redrawn, else in a line a step and one every ten seconds.
type steps struct {
	w      io.Writer
	redraw bool
	count  func() int // requests that have ended

	mu    sync.Mutex
	about string
	began time.Time
	base  int // what count was then
	told  time.Time
}

func newSteps(w io.Writer, c *client.Client) *steps {
	return &steps{w: w, redraw: terminal.Is(w), count: func() int { return c.Ledger().Ended }}
}

// next is told which step begins.
func (s *steps) next(about string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
	s.about, s.began, s.base = about, time.Now(), s.count()
	s.told = s.began
	fmt.Fprint(s.w, about)
	if !s.redraw {
		fmt.Fprintln(s.w)
	}
}

// watch tells until the function it returns is called.
func (s *steps) watch() (stop func()) {
	untick := harness.Every(time.Second, s.tell)
	return func() {
		untick()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finish()
	}
}

func (s *steps) tell() {
	const plainEvery = 10 * time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.about == "":
	case s.redraw:
		fmt.Fprintf(s.w, "\r\x1b[K%s", s.line())
	case time.Since(s.told) >= plainEvery:
		s.told = time.Now()
		fmt.Fprintln(s.w, s.line())
	}
}

func (s *steps) line() string {
	return fmt.Sprintf("%s: %d requests in %v", s.about, s.count()-s.base, time.Since(s.began).Round(time.Second))
}

// finish ends the line of the step that was.
func (s *steps) finish() {
	if s.redraw && s.about != "" {
		fmt.Fprintf(s.w, "\r\x1b[K%s\n", s.line())
	}
	s.about = ""
}
