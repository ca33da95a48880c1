package harness_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/gate"
)

// Go's own benchmark files say which load they are of, so that the gate refuses unlike ones, with
// the names printed alone as well (-v), and whatever the number of processors in the names.
func TestBenchmarkSaysItsLoad(t *testing.T) {
	self, err := os.Executable()
	assert.NilError(t, err)
	for _, flags := range [][]string{{"-test.cpu", "2"}, {"-test.cpu", "1"}, {"-test.cpu", "2", "-test.v"}} {
		cmd := exec.Command(self, append(flags, "-test.run", "^$", "-test.benchtime", "1x",
			"-test.count", "2", "-test.bench", "Serve/scenario=single-cold")...)
		text, err := cmd.Output()
		assert.NilError(t, err, "%s", text)
		out := string(text)
		assert.Equal(t, strings.Count(out, "\nLoad Serve/scenario=single-cold/agents=1/"), 1, out)
		compare := func(head string) error {
			c, err := gate.Compare(gate.File{Name: "base", Reader: strings.NewReader(out)},
				gate.File{Name: "head", Reader: strings.NewReader(head)}, gate.Options{MinRuns: 2})
			assert.NilError(t, err)
			assert.Equal(t, len(c.Failures), 0)
			assert.Equal(t, c.Cells[0].NBase, 2)
			return c.UnlikeLoads()
		}
		assert.NilError(t, compare(out))
		other := strings.NewReplacer(`prompt="64"`, `prompt="640"`, `hash="4`, `hash="5`).Replace(out)
		assert.Error(t, compare(other), "prompt is 64 in base and 640 in head")
	}
}
