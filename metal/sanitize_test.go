//go:build mlx && sanitize

package metal

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// With the tag sanitize the bridge and the kernels are compiled with AddressSanitizer and
// UndefinedBehaviorSanitizer, and all tests of this package run on them:
//
//	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 go test -tags mlx,sanitize ./metal
//
// What reaches beyond an array, a tensor, a weight or a vector, or is used after it was freed, ends
// the program with its place, and so does arithmetic that C++ does not define. This leaves out what
// happens within libmlx and OpenBLAS, whose wheels are not compiled so: of these only calls of
// memcpy and its like are checked, and that they free what they have allocated once. It leaves out
// leaks, which TestOpenAndCloseKeepMemoryFlat and TestFlat of package engine look for, and data
// races.

// TestSanitized checks that the sanitizers are at work, by a program that reads beyond an array.
func TestSanitized(t *testing.T) {
	program := filepath.Join(t.TempDir(), "beyond")
	source := `#include "pages.h"
int main() {
  ls::Arena a;
  auto first = a.take(64), second = a.take(64);
  volatile int at = 64;
  return first.get()[at];
}`
	cc := exec.Command("c++", "-x", "c++", "-std=c++20", "-O1", "-fsanitize=address,undefined",
		"-I.", "-o", program, "-")
	cc.Stdin = strings.NewReader(source)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "heap-buffer-overflow") {
		t.Errorf("a read beyond a piece of an arena is not seen: %v\n%s", err, out)
	}
}
