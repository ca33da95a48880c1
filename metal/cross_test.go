//go:build mlx

package metal

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// kernelSources are the files of the kernels for quantised and for float16 weights. They do not
// need MLX.
var kernelSources = []string{
	"testdata/kernels.cc", "quant.cc", "pack.cc", "quant_scalar.cc", "quant_neon.cc",
	"quant_avx2.cc",
	"quant_avx512.cc", "rows.cc", "half_f16.cc",
}

// The kernels of other processors run in an emulator: ARM with dot products, and old processors of
// ARM and x86, where the loader picks other clones too. Those of this machine run as well. All
// products are the same on all processors to the last bit.
func TestKernelsOfOtherProcessors(t *testing.T) {
	type processor struct {
		cpu  string // in qemu; "" is this machine itself
		runs []string
	}
	digest, digestOf := "", ""
	for _, c := range []struct {
		arch, compiler, emulator string
		install                  string // Debian's and Ubuntu's packages
		processors               []processor
	}{
		{"arm64", "aarch64-linux-gnu-g++", "qemu-aarch64", "g++-aarch64-linux-gnu qemu-user",
			[]processor{{"neoverse-n1", []string{"neon-dotprod", "scalar", "neon"}},
				{"cortex-a53", []string{"scalar", "neon"}}}},
		{"amd64", "x86_64-linux-gnu-g++", "qemu-x86_64", "g++-x86-64-linux-gnu qemu-user",
			[]processor{{"max", []string{"avx2", "scalar", "f16c"}},
				{"Nehalem", []string{"scalar"}}}},
	} {
		t.Run(c.emulator, func(t *testing.T) {
			for _, tool := range []string{c.compiler, c.emulator} {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("%s is not on this machine; apt install %s", tool, c.install)
				}
			}
			program := filepath.Join(t.TempDir(), "kernels")
			args := append([]string{"-std=c++20", "-O2", "-Wno-psabi", "-static", "-pthread", "-o",
				program}, kernelSources...)
			if out, err := exec.Command(c.compiler, args...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", c.compiler, err, out)
			}
			if runtime.GOOS == "linux" && runtime.GOARCH == c.arch {
				c.processors = append(c.processors, processor{})
			}
			for _, p := range c.processors {
				name, cmd := p.cpu, exec.Command(c.emulator, "-cpu", p.cpu, program)
				if p.cpu == "" {
					name, cmd = "this machine", exec.Command(program)
				}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
				var runs []string
				got := "none"
				for line := range strings.Lines(string(out)) {
					switch key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key {
					case "ran":
						runs = append(runs, value)
					case "digest":
						got = value
					}
				}
				if digest == "" {
					digest, digestOf = got, name
				} else if got != digest {
					t.Errorf("%s: products have the digest %s, on %s %s",
						name, got, digestOf, digest)
				}
				if p.cpu != "" && !slices.Equal(runs, p.runs) {
					t.Errorf("%s runs %v, want %v\n%s", name, runs, p.runs, out)
				}
			}
		})
	}
}
