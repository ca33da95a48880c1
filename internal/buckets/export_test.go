package buckets

import (
	"testing"
	"time"
)

// SetUnused sets for a test how old what a write has left behind must be.
func SetUnused(t *testing.T, d time.Duration) {
	before := unused
	unused = d
	t.Cleanup(func() { unused = before })
}
