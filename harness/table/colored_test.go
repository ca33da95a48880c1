package table

import (
	"testing"

	"gotest.tools/v3/assert"
)

// A style must not move a column: only what is in the line already is put into it.
func TestColored(t *testing.T) {
	var c Colored
	assert.Assert(t, c.Empty())
	c.Head("p50-ttft", "base", "")
	c.Add(BoldRed, "chat", "40 ms", "worse")
	c.Add(Unstyled, "single-cold", "9 ms", "~")
	c.Head("tok/s", "base", "")
	c.Add(BoldGreen, "chat", "812", "better")
	assert.DeepEqual(t, c.Lines(false, 0, 2), []string{
		"p50-ttft      base",
		"chat         40 ms  worse",
		"single-cold   9 ms  ~",
		"",
		"tok/s         base",
		"chat           812  better",
	})
	assert.DeepEqual(t, c.Lines(true, 0, 2), []string{
		"\x1b[2mp50-ttft      base\x1b[0m",
		"chat         40 ms  \x1b[31;1mworse\x1b[0m",
		"single-cold   9 ms  ~",
		"",
		"\x1b[2mtok/s         base\x1b[0m",
		"chat           812  \x1b[32;1mbetter\x1b[0m",
	})
}
