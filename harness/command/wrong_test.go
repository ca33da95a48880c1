package command

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"loadstone/harness/client/clienttest"
)

// A server that gives agents each other's answers, no secret in them, fails bench and run, and
// every form of the results says so. One whose answers another batch may have rounded passes, with
// a warning where it cannot be told. There are three runs of each: in a single one, the four
// answers of a silent server may all be those of agents that were not asked again.
func TestMixedUpAnswers(t *testing.T) {
	t.Chdir(t.TempDir())
	load := "-- load --\nname: own\nruns: 3\nconcurrency: 5\nrequests: 20\nprompt: 20\nanswer: 8\n-- expect --\nerror-ratio == 0\n"
	if err := os.WriteFile("own.txtar", []byte(load), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bug    string
		silent bool
		code   int
		says   string // of the answers, on the console, the page and the document
	}{
		{"another agent's answer", false, exitFailed, `where the choice was clear by 3\.00 nats`},
		{"another agent's answer", true, exitFailed, `(was given the very same answer, and alone each gets another|the answer is the one that agent \S+ gets alone)`},
		{"the batch decides near ties", false, exitOK, `([1-9]|1[0-2]) differ, ([1-9]|1[0-2]) where two tokens were nearly as likely and the batch decides`},
		{"the batch decides", true, exitOK, `([1-9]|1[0-2]) differ, ([1-9]|1[0-2]) by rounding or corruption, which a server without log-probabilities does not tell apart`},
		{"", false, exitOK, `12 asked for again, alone: all are the same`},
	} {
		for name, args := range map[string][]string{
			"bench": {"bench", "-scenario", "concurrent-5", "-n", "6", "-runs", "3", "-prompt-tokens", "20", "-max-tokens", "8"},
			"run":   {"run", "own.txtar"},
		} {
			server := httptest.NewServer(&clienttest.Liar{Bug: c.bug, Silent: c.silent})
			out := filepath.Join(t.TempDir(), "out")
			code, stdout, stderr := loadstone(t, "", append(args, "-q", "-model", "liar", "-url", server.URL, "-out", out)...)
			server.Close()
			says := regexp.MustCompile(c.says)
			if code != c.code || !says.MatchString(stdout) || (code == exitFailed) != says.MatchString(stderr) {
				t.Errorf("%s, %q, silent %v: exit %d, want %d and %s\n%s%s", name, c.bug, c.silent, code, c.code, c.says, stdout, stderr)
			}
			for _, file := range []string{"report.html", "baseline.md", "results.json"} {
				text, err := os.ReadFile(filepath.Join(out, file))
				if file == "results.json" && c.code == exitOK {
					says = regexp.MustCompile(`"compared": 12,`)
				}
				if err != nil || !says.Match(text) {
					t.Errorf("%s, %q, silent %v: %s does not say %s: %v", name, c.bug, c.silent, file, says, err)
				}
			}
		}
	}
}
