// Package terminal shows how far a measurement is, on a terminal or in a log.
package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Is reports whether w is a terminal that may be redrawn.
func Is(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Color reports whether to write colours to w: on a terminal, unless the user has set NO_COLOR
// (no-color.org).
func Color(w io.Writer) bool { return Is(w) && os.Getenv("NO_COLOR") == "" }
