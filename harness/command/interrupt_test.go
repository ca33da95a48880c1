package command

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"loadstone/harness/client"
)

// Ctrl-C, a service manager and a closed terminal all end a measurement so that it still reports.
func TestInterruptible(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) {
			t.Logf("%v is ignored here, as nohup wants it", s)
			continue
		}
		ctx, stop := interruptible(context.Background())
		if err := syscall.Kill(syscall.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Errorf("%v ends nothing", s)
		}
		stop()
	}
}

// The first Ctrl-C ends a measurement cleanly. Where that hangs (here because a file of results is
// a pipe that nobody reads), the second ends the program at once, and the server that it has
// started.
func TestSecondInterrupt(t *testing.T) {
	dir := t.TempDir()
	results := filepath.Join(dir, "results")
	if err := os.Mkdir(results, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(results, "samples.jsonl"), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "bench", "-q", "-n", "100000", "-runs", "1", "-scenario", "single-cold", "-out", results)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer cmd.Process.Kill()

	until := func(what string, holds func() bool) {
		t.Helper()
		limit, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
		defer tick.Stop()
		for !holds() {
			select {
			case <-tick.C: // the other side is another process
			case err := <-ended:
				t.Fatalf("the program ended with %v, not yet: %s", err, what)
			case <-limit:
				t.Fatalf("after a minute, not yet: %s", what)
			}
		}
	}
	addr := ""
	until("the server is known", func() bool {
		var head struct{ System struct{ URL string } }
		text, _ := os.ReadFile(filepath.Join(results, headFile))
		json.Unmarshal(text, &head)
		addr = strings.TrimPrefix(head.System.URL, "http://")
		return addr != ""
	})
	answers := func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	c := client.New("http://" + addr)
	defer c.Close()
	until("a request is answered", func() bool {
		m, _ := c.Scrape(t.Context())
		return m.Value("loadstone_requests_total", "route", "/v1/chat/completions", "status", "200") > 5
	})
	cmd.Process.Signal(os.Interrupt)
	<-time.After(5 * time.Millisecond)
	cmd.Process.Signal(os.Interrupt) // as wrappers do: this is the first once more
	until("the records are written", func() bool {
		_, err := os.Stat(filepath.Join(results, "records.jsonl"))
		return err == nil
	})
	if !answers() {
		t.Fatal("the server has ended before the program")
	}
	<-time.After(1100 * time.Millisecond) // the program has seen the first one before it wrote these
	cmd.Process.Signal(os.Interrupt)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the program still runs after the second signal")
	}
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	until("the server has ended", func() bool { return !answers() })
}

// A server does not outlive its measurement, whether that is killed as it starts or at any moment
// after. All its processes have the write end of a pipe, so the pipe ends when the last of them
// has.
func TestNoServerIsLeft(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const kills, starting = 30, 600 * time.Millisecond
	for i := range kills {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "bench", "-q", "-n", "100000", "-runs", "1", "-scenario", "single-cold", "-out", t.TempDir())
		cmd.ExtraFiles = []*os.File{w}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		// nothing is waited for: the moments differ
		<-time.After(starting * time.Duration(i) / kills)
		cmd.Process.Kill()
		cmd.Wait()
		r.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("killed after %v: %v: the server is left behind", starting*time.Duration(i)/kills, err)
		}
		r.Close()
	}
}
