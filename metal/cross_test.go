//go:build mlx

package metal

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kernelSources are the files of the kernels for quantised weights, which need nothing of MLX.
var kernelSources = []string{
	"testdata/kernels.cc", "quant.cc", "quant_scalar.cc", "quant_neon.cc", "quant_avx2.cc", "quant_avx512.cc", "rows.cc",
}

// The kernels of other processors than this machine's, in an emulator: ARM's dot products, and both families without
// what is newest, where the loader picks other clones too. On such a processor TestQuantisedProduct does this and more.
func TestKernelsOfOtherProcessors(t *testing.T) {
	type processor struct {
		cpu  string // qemu's name
		runs []string
	}
	for _, c := range []struct {
		compiler, emulator string
		install            string // Debian's and Ubuntu's packages
		processors         []processor
	}{
		{"aarch64-linux-gnu-g++", "qemu-aarch64", "g++-aarch64-linux-gnu qemu-user",
			[]processor{{"neoverse-n1", []string{"neon-dotprod", "scalar"}}, {"cortex-a53", []string{"scalar"}}}},
		{"x86_64-linux-gnu-g++", "qemu-x86_64", "g++-x86-64-linux-gnu qemu-user",
			[]processor{{"max", []string{"avx2", "scalar"}}, {"Nehalem", []string{"scalar"}}}},
	} {
		t.Run(c.emulator, func(t *testing.T) {
			for _, tool := range []string{c.compiler, c.emulator} {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("%s is not on this machine; apt install %s", tool, c.install)
				}
			}
			program := filepath.Join(t.TempDir(), "kernels")
			args := append([]string{"-std=c++20", "-O2", "-Wno-psabi", "-static", "-pthread", "-o", program}, kernelSources...)
			if out, err := exec.Command(c.compiler, args...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", c.compiler, err, out)
			}
			for _, p := range c.processors {
				out, err := exec.Command(c.emulator, "-cpu", p.cpu, program).CombinedOutput()
				if err != nil {
					t.Errorf("%s: %v\n%s", p.cpu, err, out)
				}
				var runs []string
				for line := range strings.Lines(string(out)) {
					if name, ok := strings.CutPrefix(strings.TrimSpace(line), "ran "); ok {
						runs = append(runs, name)
					}
				}
				if !slices.Equal(runs, p.runs) {
					t.Errorf("%s runs %v, want %v\n%s", p.cpu, runs, p.runs, out)
				}
			}
		})
	}
}
