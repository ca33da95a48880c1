package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"loadstone/internal/git"
)

// TestGoInstall publishes this checkout under a host's name on a module proxy of its own, in a
// folder, and installs the program as a user would. What else it needs comes from the module cache
// of this machine. It compiles the whole program again, so it runs where LOADSTONE_TEST_INSTALL is
// set, as .ci/run does.
func TestGoInstall(t *testing.T) {
	if os.Getenv("LOADSTONE_TEST_INSTALL") == "" {
		t.Skip("compiles the program under another path; LOADSTONE_TEST_INSTALL=1 runs it")
	}
	const path, version = "example.com/you/loadstone", "v1.2.3"
	tree := filepath.Join(t.TempDir(), "loadstone")
	checkout(t, tree)
	if err := rename(tree, path); err != nil {
		t.Fatal(err)
	}
	// Every import is found, also those of tests. (go vet ./... says more and takes a minute.)
	goRun(t, tree, []string{"GOWORK=off"}, "list", "-deps", "-test", "./...")

	proxy := t.TempDir()
	publish(t, tree, filepath.Join(proxy, filepath.FromSlash(path), "@v"), path, version)
	cache := strings.TrimSpace(goRun(t, tree, nil, "env", "GOMODCACHE"))
	bin := t.TempDir()
	env := []string{"GOBIN=" + bin, "GOMODCACHE=" + t.TempDir(), "GOFLAGS=-modcacherw -trimpath",
		"GOPROXY=file://" + proxy + ",file://" + filepath.Join(cache, "cache", "download"),
		"GOSUMDB=off", // the checksum database knows no module of example.com
		"GOWORK=off", "CGO_ENABLED=0"}
	for _, query := range []string{"@latest", "@" + version} {
		goRun(t, t.TempDir(), env, "install", path+"/harness/cmd/loadstone"+query)
	}
	out, err := exec.Command(filepath.Join(bin, "loadstone"), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "loadstone v1.2.3\n") {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// checkout copies the files that git knows, as they are now, into a repository of its own.
func checkout(t *testing.T, to string) {
	t.Helper()
	root, err := git.Run(t.Context(), "", "rev-parse", "--show-toplevel")
	if err != nil {
		t.Fatal(err)
	}
	list, err := git.Run(t.Context(), root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		from, target := filepath.Join(root, name), filepath.Join(to, name)
		info, err := os.Lstat(from)
		if os.IsNotExist(err) { // removed, and not committed
			continue
		}
		body, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, body, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}} {
		if _, err := git.Run(t.Context(), to, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// publish lays the module out in a folder as the protocol of module proxies names its files. The
// zip file is made, and checked against the limits of size and of names, as the go command does it.
func publish(t *testing.T, tree, dir, path, version string) {
	t.Helper()
	v := module.Version{Path: path, Version: version}
	var buf bytes.Buffer
	if err := modzip.CreateFromDir(&buf, v, tree); err != nil {
		t.Fatal(err)
	}
	files, err := modzip.CheckDir(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range files.Omitted {
		// Modules inside are modules of their own: the tests with two vendors' SDKs, and of deployments.
		path := filepath.ToSlash(left.Path)
		if !strings.Contains(path, "server/sdktest") && !strings.Contains(path, "harness/deploy") &&
			filepath.Base(left.Path) != ".git" {
			t.Errorf("not in the module: %s: %v", left.Path, left.Err)
		}
	}
	t.Logf("the module is %.1f MB in %d files (a module may have %d MB)", float64(buf.Len())/1e6,
		len(files.Valid), modzip.MaxZipFile>>20)
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info,
		version + ".mod": mod, version + ".zip": buf.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func goRun(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	start := time.Now()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	t.Logf("go %s: %.1f s", strings.Join(args, " "), time.Since(start).Seconds())
	return string(out)
}
