package verdict

import (
	"fmt"
	"io"
	"strings"

	"loadstone/harness/table"
)

// maxMarkdown is how long a comment may be: GitHub takes 65536 characters.
const maxMarkdown = 60_000

var marks = map[Outcome]string{Passed: "✅", Failed: "❌", Undecided: "⚠️"}

// WriteMarkdown writes the verdict for a step's summary: the cases that keep it from passing, and
// then all, folded.
func (v *Verdict) WriteMarkdown(w io.Writer) error {
	_, err := io.WriteString(w, v.markdown())
	return err
}

// WriteComment writes the verdict for a comment that is updated in place: it begins with a line
// that nobody sees, by which the next one of the same id finds it.
func (v *Verdict) WriteComment(w io.Writer, id string) error {
	_, err := io.WriteString(w, marker(id)+"\n"+v.markdown())
	return err
}

// marker is the first line of a comment with an id.
func marker(id string) string {
	return "<!-- loadstone: " + strings.Map(func(r rune) rune {
		if r == '-' || r == '>' || r < ' ' { // -- and > would end the HTML comment
			return '_'
		}
		return r
	}, id) + " -->"
}

// markdown is the verdict in Markdown. Where all of it is too long, it has only what keeps it from
// passing, and as much of that as there is room for.
func (v *Verdict) markdown() string {
	for _, rows := range []int{1 << 20, 0} {
		if text := v.text(1<<20, rows); len(text) <= maxMarkdown {
			return text
		}
	}
	for rows := 1 << 10; rows > 0; rows /= 2 {
		if text := v.text(rows, 0); len(text) <= maxMarkdown {
			return text
		}
	}
	return v.text(0, 0)
}

// text has so many rows of cases that are bad, and of all, in each section.
func (v *Verdict) text(bad, all int) string {
	var b strings.Builder
	mark := marks[v.Outcome]
	if v.Advisory && v.Outcome == Failed {
		mark = marks[Undecided]
	}
	fmt.Fprintf(&b, "### %s %s\n", mark, escape(v.Headline()))
	for i := range v.Sections {
		s := &v.Sections[i]
		s.rows(&b, bad, func(c *Case) bool { return c.State != Good })
	}
	if v.Summary != "" {
		fmt.Fprintf(&b, "\n%s\n", escape(v.Summary))
	}
	for i, note := range v.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "- %s\n", escape(note))
	}
	for _, s := range v.Advice {
		fence := "```"
		for strings.Contains(strings.Join(s.Lines, "\n"), fence) {
			fence += "`"
		}
		fmt.Fprintf(&b, "\n%s\n\n%stext\n%s\n%s\n", escape(s.About), fence,
			strings.Join(s.Lines[:min(len(s.Lines), max(bad, 1))], "\n"), fence)
	}
	for i := range v.Sections {
		s := &v.Sections[i]
		if all > 0 && len(s.Cases) > 0 {
			fmt.Fprintf(&b, "\n<details><summary>%s</summary>\n", escape(s.Title+": all "+
				table.Plural(len(s.Cases), "row")))
			s.rows(&b, all, func(*Case) bool { return true })
			b.WriteString("\n</details>\n")
		}
	}
	return b.String()
}

// rows writes the table of those cases that are chosen, at most so many.
func (s *Section) rows(b *strings.Builder, most int, chosen func(*Case) bool) {
	n := 0
	for i := range s.Cases {
		c := &s.Cases[i]
		if !chosen(c) {
			continue
		}
		if n++; n > most {
			continue
		}
		if n == 1 {
			s.head(b)
		}
		b.WriteString("|")
		if s.Columns[0] != "" {
			b.WriteString(" " + cell(c.Group) + " |")
		}
		b.WriteString(" " + cell(c.Name) + " |")
		for _, text := range c.Cells {
			b.WriteString(" " + cell(text) + " |")
		}
		text := cell(c.Text)
		if c.State == Bad {
			text = "**" + text + "**"
		}
		b.WriteString(" " + text + " |\n")
	}
	if n > most && most > 0 {
		fmt.Fprintf(b, "\nand %s more\n", table.Plural(n-most, "row"))
	}
}

// head writes the first two lines of the table. What is between names and text is set to the right.
func (s *Section) head(b *strings.Builder) {
	names, rule := "\n|", "\n|"
	for i, name := range s.Columns {
		switch {
		case name == "": // there are no groups
			continue
		case i > 1 && i+1 < len(s.Columns):
			rule += "---:|"
		default:
			rule += "---|"
		}
		names += " " + cell(name) + " |"
	}
	b.WriteString(names + rule + "\n")
}

// escape keeps text from being Markdown, HTML, or the mention of a person.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;", "#", "&#35;",
	"*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`, "~", `\~`, `\`, `\\`, "\n", " ", "\r", " ",
).Replace

// cell is text in a table.
func cell(text string) string { return strings.ReplaceAll(escape(text), "|", `\|`) }
