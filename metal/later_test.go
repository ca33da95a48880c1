//go:build mlx

package metal

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The background thread that allocates the KV cache waits while steps run, and ends when it is
// told to.
func TestLater(t *testing.T) {
	program := filepath.Join(t.TempDir(), "later")
	for _, args := range [][]string{
		{"c++", "-std=c++20", "-pthread", "-o", program, "testdata/later.cc"},
		{program},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
}
