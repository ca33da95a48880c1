// Package helptext prints what commands say of themselves in lines that are no wider than a page.
package helptext

import (
	"bytes"
	"flag"
	"io"
	"strings"
)

// columns is how wide a line may be.
const columns = 100

// Flags prints flags as their own PrintDefaults does.
func Flags(w io.Writer, f *flag.FlagSet) error {
	var all bytes.Buffer
	before := f.Output()
	f.SetOutput(&all)
	f.PrintDefaults()
	f.SetOutput(before)
	var b strings.Builder
	for line := range strings.Lines(all.String()) {
		if text, ok := strings.CutPrefix(line, indent); ok {
			line = Wrap(indent, indent, text)
		}
		b.WriteString(line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// indent is what package flag begins the lines with that say what a flag is for.
const indent = "    \t"

// Wrap is a text in lines, of which the first begins with first and the others with rest.
func Wrap(first, rest, text string) string {
	var b strings.Builder
	b.WriteString(first)
	room := columns - width(first)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case width(word)+1 > room:
			b.WriteString("\n" + rest)
			room = columns - width(rest)
		default:
			b.WriteByte(' ')
			room--
		}
		b.WriteString(word)
		room -= width(word)
	}
	b.WriteByte('\n')
	return b.String()
}

// width is how many columns a text takes. A tab goes to the next eighth.
func width(text string) (n int) {
	for _, r := range text {
		if n++; r == '\t' {
			n = (n + 7) / 8 * 8
		}
	}
	return n
}
