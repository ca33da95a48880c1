//go:build linux

package main

import (
	"archive/tar"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rootVariable names the folder that the test binary makes its root before it becomes the program
// in its arguments.
const rootVariable = "LOADSTONE_TEST_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(rootVariable); root != "" {
		err := becomeIn(root, os.Args[1:])
		fmt.Fprintln(os.Stderr, "no root of its own:", err)
		os.Exit(125)
	}
	os.Exit(m.Run())
}

// becomeIn runs in a mount namespace and a process namespace of its own. It gives the folder what
// every container has, /proc and /dev/null, makes it the root and runs the program.
func becomeIn(root string, args []string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := syscall.Mount("proc", root+"/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if err := syscall.Mount("/dev/null", root+"/dev/null", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("/dev/null: %w", err)
	}
	if err := syscall.Chroot(root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := os.Chdir("/tmp"); err != nil {
		return err
	}
	return syscall.Exec(args[0], args, []string{"HOME=/tmp"})
}

// inRoot runs a program of the folder root with that folder as its root. It skips the test where
// this user may not have namespaces.
func inRoot(t *testing.T, root string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{rootVariable + "=" + root}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if os.Getuid() == 0 { // who needs no user namespace
		cmd.SysProcAttr.Cloneflags &^= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = nil, nil
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 125 {
		t.Skipf("this user may not run a program in a root of its own: %v: %s", err, out)
	}
	return string(out), err
}

// TestInstalled runs the programs of a release that ./release wrote into LOADSTONE_TEST_RELEASE,
// each in a root that has the archive and nothing else; with MLX also the C and C++ libraries of
// this system. It measures a server there, which is two processes on loopback.
func TestInstalled(t *testing.T) {
	dir := os.Getenv("LOADSTONE_TEST_RELEASE")
	if dir == "" {
		t.Skip("LOADSTONE_TEST_RELEASE names no folder that ./release wrote")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the archives that run on linux are for amd64 and arm64; this is written for amd64")
	}
	for _, c := range []struct {
		target, backend string
		libraries       bool
	}{{"linux-amd64", "ref", false}, {"linux-amd64-mlx", "mlx", true}} {
		t.Run(c.target, func(t *testing.T) {
			found, err := filepath.Glob(filepath.Join(dir, "loadstone-v*-"+c.target+".tar.gz"))
			if err != nil || len(found) != 1 {
				t.Skipf("no archive for %s: %v", c.target, found)
			}
			root := t.TempDir()
			program := unpack(t, found[0], root)
			if c.libraries {
				copyLibraries(t, root)
			} else if f, err := elf.Open(filepath.Join(root, program)); err != nil {
				t.Fatal(err)
			} else if needed, err := f.ImportedLibraries(); err != nil || len(needed) > 0 {
				t.Errorf("the program needs %v, %v", needed, err)
			}
			out, err := inRoot(t, root, program, "version")
			if err != nil || !strings.HasPrefix(out, "loadstone v") || !strings.Contains(out, "commit ") {
				t.Fatalf("version: %v: %s", err, out)
			}
			t.Logf("%s", out)
			start := time.Now()
			out, err = inRoot(t, root, program, "bench", "-q", "-n", "2", "-runs", "1",
				"-scenario", "single-cold,concurrent-5", "-backend", c.backend, "-out", "/tmp/results")
			if err != nil {
				t.Fatalf("bench: %v: %s", err, out)
			}
			t.Logf("bench: %.1f s\n%s", time.Since(start).Seconds(), out)
			text, err := os.ReadFile(filepath.Join(root, "tmp/results/bench.txt"))
			if err != nil || !strings.Contains(string(text), "\nbackend: "+c.backend+"\n") {
				t.Errorf("bench.txt: %v\n%s", err, text)
			}
			if _, err := os.Stat(filepath.Join(root, "tmp/results/report.html")); err != nil {
				t.Error(err)
			}
		})
	}
}

// unpack unpacks an archive into a root that is empty but for what every container has, and returns
// the program's path in it.
func unpack(t *testing.T, archive, root string) (program string) {
	t.Helper()
	for _, dir := range []string{"proc", "dev", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "dev/null"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	readArchive(t, in, func(h *tar.Header, body []byte) {
		path := filepath.Join(root, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.Mkdir(path, fs.FileMode(h.Mode))
		} else {
			err = os.WriteFile(path, body, fs.FileMode(h.Mode))
		}
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(path) == "loadstone" {
			program = "/" + h.Name
		}
	})
	return program
}

// copyLibraries copies what Debian's packages libc6, libgcc-s1 and libstdc++6 have and a program
// loads, by the names that programs use.
func copyLibraries(t *testing.T, root string) {
	t.Helper()
	folders := []string{"/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib"}
	for _, name := range []string{"ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libdl.so.2",
		"libpthread.so.0", "librt.so.1", "libgcc_s.so.1", "libstdc++.so.6"} {
		var body []byte
		var err error
		for _, folder := range folders {
			if body, err = os.ReadFile(filepath.Join(folder, name)); err == nil {
				break
			}
		}
		if err != nil {
			t.Skipf("%s is not in %v", name, folders)
		}
		to := filepath.Join(root, "lib/x86_64-linux-gnu", name)
		if strings.HasPrefix(name, "ld-") { // programs name it by its path
			to = filepath.Join(root, "lib64", name)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, body, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestImage builds the image of Dockerfile from the archive and measures a server inside, where a
// Docker daemon runs.
func TestImage(t *testing.T) {
	dir := os.Getenv("LOADSTONE_TEST_RELEASE")
	if dir == "" {
		t.Skip("LOADSTONE_TEST_RELEASE names no folder that ./release wrote")
	}
	if err := exec.Command("docker", "info").Run(); err != nil {
		t.Skipf("no Docker daemon: docker info: %v", err)
	}
	docker := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("docker", args...)
		cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	const name = "loadstone-test"
	docker("build", "-q", "-t", name, "-f", "../../Dockerfile", dir)
	defer docker("image", "rm", name)
	if out := docker("run", "--rm", "--network=none", name, "version"); !strings.HasPrefix(out, "loadstone v") {
		t.Errorf("version: %s", out)
	}
	out := docker("run", "--rm", "--network=none", "--read-only", "--tmpfs=/data:uid=65532", "--cap-drop=ALL", name,
		"bench", "-q", "-n", "2", "-runs", "1", "-scenario", "single-cold")
	if !strings.Contains(out, "report.html") {
		t.Errorf("bench: %s", out)
	}
}
