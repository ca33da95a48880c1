// Command setup puts MLX where package metal's cgo flags look for it: metal/.mlx, which git
// ignores. It needs neither root nor environment variables, and it does nothing when everything is
// in place.
//
//	go run ./metal/setup             install the pinned wheels: python3 -m pip install --target
//	go run ./metal/setup -link DIR   use the MLX in DIR: site-packages or $(brew --prefix mlx)
//
// Either way the folder has three names, the only ones that cgo.go knows:
//
//	.mlx/include    MLX's headers
//	.mlx/lib        libmlx.so or libmlx.dylib
//	.mlx/openblas   libscipy_openblas.so (Linux only)
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

func main() {
	link := flag.String("link", "",
		"use the MLX in `DIR` (site-packages or a Homebrew prefix) instead of installing one")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "setup: unexpected argument %q; usage: setup [-link DIR]\n",
			flag.Arg(0))
		os.Exit(2)
	}
	if err := run(*link); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func run(link string) error {
	start := time.Now()
	if err := checkPlatform(runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	home, err := findMetal()
	if err != nil {
		return err
	}
	pins, err := readPins(filepath.Join(home, "requirements.txt"))
	if err != nil {
		return err
	}
	want := pins["mlx"]
	final := filepath.Join(home, ".mlx")
	if link == "" && check(final, want) == nil {
		fmt.Printf("MLX %s is already in %s; nothing to do "+
			"(remove that folder to install it again)\n", want, final)
		return nil
	}
	if err := checkCompiler(); err != nil {
		return err
	}

	// The folder is built beside its final place and renamed, so that an interrupted run leaves
	// nothing half done.
	tmp := final + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	if link != "" {
		err = linkExisting(link, tmp, pins)
	} else {
		err = install(tmp, home)
	}
	if err != nil {
		return err
	}
	if err := check(tmp, want); err != nil {
		return err
	}
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	fmt.Printf("MLX %s is ready in %s (%.1f s)\n", want, final, time.Since(start).Seconds())
	fmt.Println("now build with -tags mlx, for instance: go test -tags mlx ./metal/...")
	fmt.Println("the backend is then called mlx: loadstone serve -backend mlx")
	return nil
}

func checkPlatform(goos, goarch string) error {
	switch goos + "/" + goarch {
	case "linux/amd64", "linux/arm64", "darwin/arm64":
		return nil
	}
	return fmt.Errorf("MLX has no package for %s/%s; "+
		"it runs on linux/amd64, linux/arm64 and darwin/arm64. "+
		"The pure-Go backend works without it", goos, goarch)
}

// findMetal returns the folder metal of the repository in which the current folder lies.
func findMetal() (string, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := cwd; ; dir = filepath.Dir(dir) {
		home := filepath.Join(dir, "metal")
		if _, err := os.Stat(filepath.Join(home, "requirements.txt")); err == nil {
			return home, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no metal/requirements.txt above %s; "+
				"run this inside the repository", cwd)
		}
	}
}

// readPins returns the versions that requirements.txt pins for this system. The key "mlx" stands
// for the package that holds libmlx, whatever its name.
func readPins(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pins := map[string]string{}
	line := regexp.MustCompile(`(?m)^([a-z0-9-]+)==([^\s;]+)\s*;\s*sys_platform == "([a-z]+)"`)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		if m[3] == runtime.GOOS {
			pins[strings.TrimSuffix(m[1], "-cpu")] = m[2]
		}
	}
	if pins["mlx"] == "" {
		return nil, fmt.Errorf("%s does not pin an MLX for %s", path, runtime.GOOS)
	}
	return pins, nil
}

// checkCompiler makes sure that the compiler which cgo will use can compile C++20, as MLX's headers
// require.
func checkCompiler() error {
	out, err := exec.Command("go", "env", "CXX").Output()
	if err != nil {
		return fmt.Errorf("go env CXX: %w", err)
	}
	cxx := strings.Fields(string(out))
	const fix = "install one (Debian and Ubuntu: apt install g++; macOS: xcode-select --install) " +
		"or set CXX to it"
	if len(cxx) == 0 {
		return errors.New("no C++20 compiler: " + fix)
	}
	if _, err := exec.LookPath(cxx[0]); err != nil {
		return fmt.Errorf("no C++20 compiler: %s is not on PATH; %s", cxx[0], fix)
	}
	cmd := exec.Command(cxx[0], append(cxx[1:], "-std=c++20", "-fsyntax-only", "-x", "c++", "-")...)
	cmd.Stdin = strings.NewReader("#include <concepts>\n#include <span>\n" +
		"template <std::integral T> T f(T x) { return x; }\n")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s cannot compile C++20 (%s); use g++ 11 or clang 14 or newer: %s",
			cxx[0], firstLine(msg), fix)
	}
	fmt.Printf("C++20 compiler: %s\n", strings.Join(cxx, " "))
	return nil
}

// check returns an error unless dir has the layout that cgo.go names, with the MLX version for
// which the bridge is written.
func check(dir, want string) error {
	got, err := headerVersion(filepath.Join(dir, "include"))
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("wrong MLX version: found %s, the bridge needs %s; "+
			"run go run ./metal/setup without -link to install that", got, want)
	}
	files := []string{"lib/libmlx.dylib"}
	if runtime.GOOS == "linux" {
		files = []string{"lib/libmlx.so", "openblas/libscipy_openblas.so"}
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			return fmt.Errorf("%s has no %s: the installation is not complete; "+
				"remove the folder and run this again", dir, f)
		}
	}
	return nil
}

// headerVersion returns the version of MLX that its headers state.
func headerVersion(include string) (string, error) {
	path := filepath.Join(include, "mlx", "version.h")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("no MLX headers: %w", err)
	}
	m := regexp.MustCompile(`MLX_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)`).FindAllSubmatch(text, 3)
	if len(m) != 3 {
		return "", fmt.Errorf("%s states no version", path)
	}
	return fmt.Sprintf("%s.%s.%s", m[0][1], m[1][1], m[2][1]), nil
}

func firstLine(b []byte) string {
	s, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return s
}
