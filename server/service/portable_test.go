package service

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"loadstone/engine/catalog"
	"loadstone/metal"
)

// export returns an agent's memory as a file.
func (p *process) export(t *testing.T, agent string) []byte {
	t.Helper()
	resp, err := http.Get(p.url + "/v1/agents/" + agent + "/export")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	file, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, file)
	}
	return file
}

func (p *process) importMemory(t *testing.T, file []byte) {
	t.Helper()
	resp, err := http.Post(p.url+"/v1/agents/import", "application/octet-stream", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		t.Fatalf("status %d: %s", resp.StatusCode, said)
	}
}

// carry has an agent take two turns at a server, carries its memory to another one, and compares
// the next answer of both, of 64 tokens. The other one must begin with the whole memory.
func carry(t *testing.T, from, to *process) {
	t.Helper()
	const agent = "ann"
	talk := []message{{"user", "Tell me of the loadstone, " + strings.Repeat("and of iron, ", 12) + "please."}}
	for range 2 {
		r := from.ask(t, agent, talk)
		talk = append(talk, r.Choices[0].Message, message{"user", "And then?"})
	}
	to.importMemory(t, from.export(t, agent))
	want, got := from.askFor(t, agent, talk, 64), to.askFor(t, agent, talk, 64)
	if got.Choices[0] != want.Choices[0] || got.Usage.Output != 64 || want.Usage.Output != 64 {
		t.Errorf("with the memory of another processor: %+v, want %+v", got, want)
	}
	if c := got.Usage.Details; c.Cached != want.Usage.Details.Cached || c.Cached == 0 || c.Tier != diskTier {
		t.Errorf("cached %+v, by the one that made the memory %+v", c, want.Usage.Details)
	}
	t.Logf("%d tokens the same, after a memory of %d", got.Usage.Output, got.Usage.Details.Cached)
}

// A memory that was made with the best instruction set of this processor gives with the next best
// one the answer that it gives there. The network is quantised: of others no kernel has several.
func TestPortableISA(t *testing.T) {
	const model = "smollm2"
	if !metal.Available {
		t.Skip(metal.ErrUnavailable)
	}
	if _, err := catalog.Open(model); err != nil {
		t.Skip(err) // the error says how to get the model
	}
	from := startOn(t, model, BackendMLX, "-agents-dir", t.TempDir())
	best := kernels(t)
	for _, isa := range []string{"avx-vnni", "avx2", "neon", "scalar"} {
		t.Setenv("LOADSTONE_ISA", isa)
		if said := kernels(t); said != best { // this processor has it
			t.Logf("from%s to%s", best, said)
			carry(t, from, startOn(t, model, BackendMLX, "-agents-dir", t.TempDir()))
			return
		}
	}
	t.Error("this processor has one instruction set only")
}

// kernels returns which kernels a server has, as it says itself.
func kernels(t *testing.T) string {
	t.Helper()
	said, err := io.ReadAll(startOnly(t, "-version").stdout)
	if err != nil {
		t.Fatal(err)
	}
	_, which, ok := strings.Cut(strings.TrimSpace(string(said)), "CPU kernels:")
	if !ok {
		t.Fatalf("it says %q", said)
	}
	return strings.TrimSuffix(which, ")")
}

// A memory that was made here gives the same answer on an older processor and on another
// architecture, in an emulator.
func TestPortableProcessor(t *testing.T) {
	backend := BackendRef
	if metal.Available {
		backend = BackendMLX
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Haswell", func(t *testing.T) {
		if runtime.GOARCH != "amd64" {
			t.Skip("this machine is " + runtime.GOARCH)
		}
		there := emulated(t, "qemu-x86_64", backend, "-cpu", "Haswell", self)
		carry(t, startOn(t, "tiny", backend, "-agents-dir", t.TempDir()), there)
	})
	t.Run("arm64", func(t *testing.T) {
		if os.Getenv("LOADSTONE_TEST_ARM64") == "" {
			t.Skip("LOADSTONE_TEST_ARM64 is not set: it builds a server for arm64")
		}
		program := filepath.Join(t.TempDir(), "server")
		build := exec.Command("go", "build", "-o", program, "loadstone/server/cmd/loadstone-server")
		build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		there := emulated(t, "qemu-aarch64", BackendRef, program)
		carry(t, start(t, "-agents-dir", t.TempDir()), there)
	})
}

// emulated starts a server in an emulator.
func emulated(t *testing.T, emulator, backend string, args ...string) *process {
	t.Helper()
	qemu, err := exec.LookPath(emulator)
	if err != nil {
		t.Skipf("%s is not on this machine; apt install qemu-user", emulator)
	}
	p := startProgram(t, append([]string{qemu}, args...), "-backend", backend, "-agents-dir", t.TempDir())
	p.url = p.line(t, `^loadstone: listening on (http://127\.0\.0\.1:\d+)$`)
	p.line(t, `^loadstone: ready: (tiny) on `+backend+` .*$`)
	return p
}
