package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const versionHeader = "#define MLX_VERSION_MAJOR 0\n" +
	"#define MLX_VERSION_MINOR 32\n#define MLX_VERSION_PATCH 4\n"

// wants checks that an error has this text.
func wants(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want one with %q", err, text)
	}
}

// Every failure has a message that says what the user has to do.
func TestFailuresSayWhatToDo(t *testing.T) {
	wants(t, checkPlatform("windows", "amd64"), "no package for windows/amd64")

	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("PYTHON", "")
	_, err := python()
	wants(t, err, "no Python on PATH")
	if runtime.GOOS != "windows" {
		fake := filepath.Join(dir, "python3")
		write(t, fake, "#!/bin/sh\necho 3 8\n")
		os.Chmod(fake, 0o755)
		_, err = python()
		wants(t, err, "Python 3.8; MLX needs 3.10")
		write(t, fake, "#!/bin/sh\n[ \"$1\" = -c ] && echo 3 12 && exit 0\nexit 1\n")
		_, err = python()
		wants(t, err, "has no pip; install it")
	}

	wants(t, linkExisting(dir, filepath.Join(dir, "out"), nil), "give -link a site-packages folder")
	wants(t, check(dir, "0.32.4"), "no MLX headers")
	write(t, filepath.Join(dir, "include/mlx/version.h"),
		strings.ReplaceAll(versionHeader, "32", "31"))
	wants(t, check(dir, "0.32.4"), "found 0.31.4, the bridge needs 0.32.4")
	write(t, filepath.Join(dir, "include/mlx/version.h"), versionHeader)
	wants(t, check(dir, "0.32.4"), "not complete")
}

// The pinned versions are read for the system at hand, and the command finds its files from any
// folder below.
func TestPins(t *testing.T) {
	home, err := findMetal()
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" {
		pins, err := readPins(filepath.Join(home, "requirements.txt"))
		if err != nil || !strings.HasPrefix(pins["mlx"], "0.") {
			t.Errorf("pins %v, %v", pins, err)
		}
	}
	t.Chdir(t.TempDir())
	_, err = findMetal()
	wants(t, err, "run this inside the repository")
}
