package command

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// check shows CI what it found: a row and a test for each check, with the violations.
func TestCheckInCI(t *testing.T) {
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"data":[{"id":"wrong"}]}`)
			return
		}
		fmt.Fprint(w, `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],`+
			`"usage":{"prompt_tokens":3,"completion_tokens":0}}`)
	}))
	defer wrong.Close()
	t.Chdir(t.TempDir())
	t.Setenv("GITHUB_ACTIONS", "true")
	for _, c := range []struct {
		advisory              string
		code                  int
		summary, junit, notes string
	}{
		{"-advisory=false", exitFailed, "### ❌ check: 1 of ", `<failure message="`, "::error title=check%3A tokens::"},
		{"-advisory", exitOK, "### ⚠️ check: 1 of ", `<skipped message="advisory: `, "::warning title=check%3A tokens::"},
	} {
		os.Remove("summary.md")
		code, stdout, stderr := loadstone(t, "", "check", "-q", "-url", wrong.URL, "-agents", "2", "-aborts", "1",
			"-summary=summary.md", "-junit", "check.xml", "-comment", "comment.md", c.advisory)
		assert.Equal(t, code, c.code, stderr)
		summary, err := os.ReadFile("summary.md")
		assert.NilError(t, err)
		assert.Assert(t, strings.HasPrefix(string(summary), c.summary), string(summary))
		assert.Assert(t, strings.Contains(string(summary), "\n| tokens | FAIL | **"), string(summary))
		xml, err := os.ReadFile("check.xml")
		assert.NilError(t, err)
		assert.Assert(t, regexp.MustCompile(c.junit+`\d+ times, the first: an answer of 0 tokens`).Match(xml), string(xml))
		assert.Assert(t, strings.Contains(string(xml), "agent audit-"), "the violations are not in %s", xml)
		assert.Assert(t, strings.Contains(stdout, c.notes), stdout)
		comment, err := os.ReadFile("comment.md")
		assert.NilError(t, err)
		assert.Equal(t, "<!-- loadstone: check -->\n"+string(summary), string(comment))
	}
}
