package helptext

import (
	"flag"
	"strings"
	"testing"
)

// The words are those of PrintDefaults, in lines of a page.
func TestFlags(t *testing.T) {
	f := flag.NewFlagSet("x", flag.ContinueOnError)
	f.Bool("q", false, "no progress")
	f.String("short", "here", "`file` of a few words")
	f.Int("long", 7, strings.TrimSpace(strings.Repeat("many wörds ", 40)))
	f.String("address", "", strings.Repeat("x", 120))
	var plain, page strings.Builder
	f.SetOutput(&plain)
	f.PrintDefaults()
	if err := Flags(&page, f); err != nil {
		t.Fatal(err)
	}
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if words(page.String()) != words(plain.String()) {
		t.Errorf("other words:\n%s", &page)
	}
	wide := 0
	for line := range strings.Lines(page.String()) {
		line = strings.TrimSuffix(line, "\n")
		if n := width(line); n <= columns {
			wide = max(wide, n)
		} else if strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if wide < columns-len(" wörds") {
		t.Errorf("no line has more than %d columns:\n%s", wide, &page)
	}
	for _, line := range []string{"  -q\tno progress\n",
		"    \tfile of a few words (default \"here\")\n"} {
		if !strings.Contains(page.String(), line) {
			t.Errorf("no line %q in\n%s", line, &page)
		}
	}
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("w", columns-3)
	for text, want := range map[string]string{
		"":              "- \n",
		"a  b":          "- a b\n",
		long + " a":     "- " + long + "\n  a\n",
		"a " + long:     "- a\n  " + long + "\n",
		long[1:] + " a": "- " + long[1:] + " a\n",
	} {
		if got := Wrap("- ", "  ", text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
