package table

import "strings"

// A Style is how a terminal shows a text: the parameters of its escape sequence SGR (ECMA-48).
type Style string

// The styles of texts. An Unstyled one has no escape sequence.
const (
	Unstyled   Style = ""
	Dim        Style = "2"
	Red        Style = "31"
	Yellow     Style = "33"
	BoldRed    Style = "31;1"
	BoldGreen  Style = "32;1"
	BoldYellow Style = "33;1"
	DimWhite   Style = "37;2"
)

// Text returns a text with the escape sequences that begin and end the style.
func (s Style) Text(text string) string {
	if s == Unstyled {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// A Colored is a table in several parts, each with a heading, whose rows end in a cell that may
// have a style. The zero Colored has no rows.
type Colored struct {
	rows     [][]string
	styles   []Style // of each row's last cell
	headings []bool
}

// Head begins a part, with an empty line before it if it is not the first.
func (c *Colored) Head(cells ...string) {
	if !c.Empty() {
		c.Add(Unstyled)
	}
	c.Add(Dim, cells...)
	c.headings[len(c.headings)-1] = true
}

// Add adds a row whose last cell has a style.
func (c *Colored) Add(style Style, cells ...string) {
	c.rows, c.styles = append(c.rows, cells), append(c.styles, style)
	c.headings = append(c.headings, false)
}

// Empty reports whether the table has no rows.
func (c *Colored) Empty() bool { return len(c.rows) == 0 }

// Lines returns the table's lines, as Align sets them, with the styles if color is true.
func (c *Colored) Lines(color bool, left ...int) []string {
	lines := Align(c.rows, left...)
	for i, style := range c.styles {
		switch {
		case !color || style == Unstyled:
		case c.headings[i]:
			lines[i] = style.Text(lines[i])
		default:
			last := c.rows[i][len(c.rows[i])-1]
			lines[i] = strings.TrimSuffix(lines[i], last) + style.Text(last)
		}
	}
	return lines
}
