package command

import (
	"bytes"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/scenario"
)

// A measurement that ended before its first run says nothing of its runs.
func TestNothingIsToldOfNoRuns(t *testing.T) {
	var out bytes.Buffer
	tellUntil(&env{stdout: &out}, &scenario.Until{Figure: "p50-e2e", Within: 0.05}, nil)
	assert.Equal(t, out.String(), "")
}
