package verdict

import (
	"fmt"
	"io"
	"strings"
)

// maxAnnotations is how many of one kind GitHub shows of a step.
const maxAnnotations = 10

// WriteAnnotations writes the verdict as GitHub's workflow commands: an error for each case that
// keeps it from passing, a warning where nothing fails for it or where it cannot be told, and a
// notice for what was accepted. GitHub shows ten of a kind, so the last of more says how many there
// are.
func (v *Verdict) WriteAnnotations(w io.Writer) error {
	kinds := map[State]string{Bad: "error", Open: "warning", Accepted: "notice"}
	if v.Advisory || v.Outcome == Undecided {
		kinds[Bad] = "warning"
	}
	var b strings.Builder
	written := 0
	for _, state := range []State{Bad, Open, Accepted} {
		if state == Open && v.Outcome == Passed { // it does not matter then
			continue
		}
		kind, n, total := kinds[state], 0, v.count(state)
		for _, s := range v.Sections {
			for _, c := range s.Cases {
				if c.State != state {
					continue
				}
				if n++; n == maxAnnotations && total > n {
					command(&b, kind, v.Name, fmt.Sprintf("and %d more", total-n+1))
				} else if n <= maxAnnotations {
					command(&b, kind, v.Name+": "+c.title(), c.message(s.Columns))
				}
			}
		}
		if state != Accepted {
			written += n
		}
	}
	if written == 0 && v.Outcome != Passed {
		command(&b, map[bool]string{true: "error", false: "warning"}[v.Outcome == Failed && !v.Advisory],
			v.Name, v.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// command writes a workflow command. What would end a property or the line is escaped as GitHub's
// own toolkit does.
func command(b *strings.Builder, kind, title, message string) {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	fmt.Fprintf(b, "::%s title=%s::%s\n", kind, property.Replace(title), data.Replace(message))
}

// title names the case.
func (c *Case) title() string {
	switch {
	case c.Group == "":
		return c.Name
	case c.Name == "":
		return c.Group
	}
	return c.Name + " of " + c.Group
}

// message is what is to be said of the case in one line; columns are those of its section.
func (c *Case) message(columns []string) string {
	parts := c.named(columns, " ")
	switch {
	case c.Text == "":
		return strings.Join(parts, ", ")
	case len(parts) == 0:
		return c.Text
	}
	return c.Text + " (" + strings.Join(parts, ", ") + ")"
}

// named are the cells with the names of their columns.
func (c *Case) named(columns []string, between string) []string {
	var all []string
	for i, text := range c.Cells {
		if text != "" {
			all = append(all, columns[i+2]+between+text)
		}
	}
	return all
}
