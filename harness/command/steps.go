package command

import (
	"fmt"
	"io"
	"sync"
	"time"

	"loadstone/harness"
	"loadstone/harness/audit"
	"loadstone/harness/client"
	"loadstone/harness/terminal"
)

// steps shows the progress of an audit: which step it is at, and how many requests of the step have
// ended. On a terminal it redraws one line; else it prints a line a step, and one after each
// terminal.LogPause.
type steps struct {
	w      io.Writer
	redraw bool
	count  func() int // requests that have ended

	mu    sync.Mutex
	about string
	began time.Time
	base  int // count at the step's beginning
	shown time.Time
}

func newSteps(w io.Writer, c *client.Client) *steps {
	return &steps{w: w, redraw: terminal.Is(w), count: func() int { return c.Ledger().Ended }}
}

// next shows that a step begins.
func (s *steps) next(step audit.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
	s.about, s.began, s.base = step.About, time.Now(), s.count()
	s.shown = s.began
	fmt.Fprint(s.w, s.about)
	if !s.redraw {
		fmt.Fprintln(s.w)
	}
}

// watch shows the progress until the function that it returns is called.
func (s *steps) watch() (stop func()) {
	untick := harness.Every(time.Second, s.show)
	return func() {
		untick()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finish()
	}
}

// show shows how far the step is.
func (s *steps) show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.about == "":
	case s.redraw:
		fmt.Fprintf(s.w, "\r\x1b[K%s", s.line())
	case time.Since(s.shown) >= terminal.LogPause(s.shown.Sub(s.began)):
		s.shown = time.Now()
		fmt.Fprintln(s.w, s.line())
	}
}

func (s *steps) line() string {
	return fmt.Sprintf("%s: %d requests in %v",
		s.about, s.count()-s.base, time.Since(s.began).Round(time.Second))
}

// finish ends the line of the step before.
func (s *steps) finish() {
	if s.redraw && s.about != "" {
		fmt.Fprintf(s.w, "\r\x1b[K%s\n", s.line())
	}
	s.about = ""
}
