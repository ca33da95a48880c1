package report

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A Host is the machine on which the load was generated; with a server on loopback it is the
// server's machine as well. A field that the machine does not tell is empty or 0.
type Host struct {
	OS     string `json:"os"` // as Go names it
	Arch   string `json:"arch"`
	System string `json:"system"` // "Debian GNU/Linux 12 (bookworm)"
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"` // the model, as the processor names itself
	// The widest vector extension that matters to inference: "avx2", "avx512-vnni", "neon".
	SIMD   string `json:"simd"`
	Cores  int    `json:"cores"` // cores this process may use, container limits counted
	Memory int64  `json:"memory_bytes"`
	Go     string `json:"go"` // version of the toolchain
}

// FindHost looks at the machine it runs on.
func FindHost() Host {
	h := Host{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0),
		Go: runtime.Version()}
	switch h.OS {
	case "linux":
		h.CPU, h.SIMD = cpuinfo("/proc/cpuinfo")
		h.Memory = 1024 * meminfo("/proc/meminfo", "MemTotal")
		h.System = strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`)
		kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
		h.Kernel = strings.TrimSpace(string(kernel))
	case "darwin":
		h.CPU = sysctl("machdep.cpu.brand_string")
		h.Memory, _ = strconv.ParseInt(sysctl("hw.memsize"), 10, 64)
		h.System = "macOS " + sysctl("kern.osproductversion")
		h.Kernel = sysctl("kern.osrelease")
	}
	if h.SIMD == "" && h.Arch == "arm64" {
		h.SIMD = "neon"
	}
	return h
}

// Class names what must be alike for two measurements to be compared: system, architecture, cores
// and vector width.
func (h Host) Class() string {
	class := fmt.Sprintf("%s-%s-%dcpu", h.OS, h.Arch, h.Cores)
	if h.SIMD != "" {
		class += "-" + h.SIMD
	}
	return class
}

func cpuinfo(path string) (model, simd string) {
	model = field(path, "model name", ":")
	flags := strings.Fields(field(path, "flags", ":"))
	for _, f := range []struct{ flag, name string }{
		{"avx512_vnni", "avx512-vnni"}, {"avx512f", "avx512"}, {"avx_vnni", "avx2-vnni"},
		{"avx2", "avx2"}, {"avx", "avx"},
	} {
		if slices.Contains(flags, f.flag) {
			return model, f.name
		}
	}
	return model, ""
}

func meminfo(path, key string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(field(path, key, ":"), " kB"), 10, 64)
	return n
}

// field is the value of the first "key SEP value" line of a file, "" where there is none.
func field(path, key, sep string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if k, v, ok := strings.Cut(lines.Text(), sep); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func sysctl(name string) string {
	out, err := exec.Command("sysctl", "-n", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
