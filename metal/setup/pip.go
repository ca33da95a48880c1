package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// python returns the path of an interpreter with pip. $PYTHON has precedence over those on PATH.
func python() (string, error) {
	names := []string{"python3", "python"}
	if p := os.Getenv("PYTHON"); p != "" {
		names = []string{p}
	}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "-c", "import sys; print(*sys.version_info[:2])").Output()
		if err != nil {
			continue
		}
		v := strings.Fields(string(out))
		if len(v) != 2 || v[0] != "3" || !atLeast(v[1], 10) {
			return "", fmt.Errorf("%s is Python %s; MLX needs 3.10 or newer: "+
				"install it or set PYTHON to one", path, strings.Join(v, "."))
		}
		if err := exec.Command(path, "-m", "pip", "--version").Run(); err != nil {
			return "", fmt.Errorf("%s has no pip; install it "+
				"(Debian and Ubuntu: apt install python3-pip; elsewhere: %s -m ensurepip)",
				path, name)
		}
		fmt.Printf("Python %s with pip: %s\n", strings.Join(v, "."), path)
		return path, nil
	}
	return "", fmt.Errorf("no Python on PATH (tried %s); install Python 3.10 or newer with pip, "+
		"or link an existing MLX with -link DIR", strings.Join(names, ", "))
}

func atLeast(s string, n int) bool {
	v, err := strconv.Atoi(s)
	return err == nil && v >= n
}

// install puts the pinned wheels into dir. With --target, pip leaves every Python environment of
// the machine alone, also those that the distribution manages.
func install(dir, home string) error {
	if err := pip(dir, "-r", filepath.Join(home, "requirements.txt")); err != nil {
		return err
	}
	links := map[string]string{"include": "mlx/include", "lib": "mlx/lib"}
	if runtime.GOOS == "linux" {
		links["openblas"] = "scipy_openblas32/lib"
	}
	return symlinks(dir, links)
}

// linkExisting makes dir point at an MLX that is already on the machine; where is a site-packages
// folder, the folder of the package mlx, or a Homebrew prefix. Neither the wheels nor Homebrew
// bring OpenBLAS along, so on Linux it is taken from the folder beside MLX, or installed.
func linkExisting(where, dir string, pins map[string]string) error {
	where, err := filepath.Abs(where)
	if err != nil {
		return err
	}
	root := ""
	for _, d := range []string{where, filepath.Join(where, "mlx")} {
		if _, err := os.Stat(filepath.Join(d, "include", "mlx", "version.h")); err == nil {
			root = d
			break
		}
	}
	if root == "" {
		return fmt.Errorf("no include/mlx/version.h in %s or %s: "+
			"give -link a site-packages folder or $(brew --prefix mlx)", where,
			filepath.Join(where, "mlx"))
	}
	fmt.Printf("linking MLX in %s\n", root)
	links := map[string]string{"include": filepath.Join(root, "include"),
		"lib": filepath.Join(root, "lib")}
	if runtime.GOOS == "linux" {
		blas := filepath.Join(filepath.Dir(root), "scipy_openblas32", "lib")
		if _, err := os.Stat(blas); err != nil {
			if err := pip(dir, "scipy-openblas32=="+pins["scipy-openblas32"]); err != nil {
				return err
			}
			blas = "scipy_openblas32/lib"
		}
		links["openblas"] = blas
	}
	return symlinks(dir, links)
}

// symlinks makes links in dir, by name.
func symlinks(dir string, links map[string]string) error {
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// pip installs packages into dir; what are their names, or other arguments of pip install.
func pip(dir string, what ...string) error {
	py, err := python()
	if err != nil {
		return err
	}
	args := append([]string{"-m", "pip", "install", "--disable-pip-version-check", "--no-input",
		"--root-user-action", "ignore", "--only-binary", ":all:", "--no-compile", "--target", dir},
		what...)
	fmt.Printf("pip install %s\n", strings.Join(what, " "))
	cmd := exec.Command(py, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		return errors.New("pip could not install the wheels: its own words are above; " +
			"the usual reasons are no network, a full disk, " +
			"or a glibc older than 2.35 (ldd --version), for which MLX does not publish a wheel")
	}
	return nil
}
