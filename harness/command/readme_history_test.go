package command

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"loadstone/harness/history"
)

// The README shows what the history of this project's own commits comes to, but for what only git
// knows: how many commits lie within a span, and what one is called.
func TestREADMEHistory(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	all, skipped, err := history.ReadFiles(filepath.Join("..", "..", "benchdata", "history"))
	if err != nil || len(skipped) > 0 {
		t.Fatalf("%v, skipped %v", err, skipped)
	}
	h, err := history.New(all, nil, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Skipped) > 0 || len(h.Commits) < 12 {
		t.Errorf("%d commits, skipped %v; want 12 or more, and none skipped", len(h.Commits), h.Skipped)
	}
	var table bytes.Buffer
	if err := h.WriteTable(&table, false, false); err != nil {
		t.Fatal(err)
	}
	shown := plainHistory(string(readme))
	for line := range strings.Lines(table.String()) {
		if want := plainHistory(line); !strings.Contains(shown, want) {
			t.Errorf("README.md lacks %q", want)
		}
	}
}

var ofGit = regexp.MustCompile(` \(\d+\)|(better|worse): .*`)

// plainHistory leaves out what git knows, and how wide the columns are.
func plainHistory(text string) string {
	return strings.Join(strings.Fields(ofGit.ReplaceAllString(text, " $1")), " ")
}
