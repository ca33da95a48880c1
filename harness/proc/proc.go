// Package proc runs a server under test as a process of its own and tells what it uses of the machine.
package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"loadstone/harness/client"
)

// A Process is a server under test that runs as a process of its own.
type Process struct {
	URL     string        // http://127.0.0.1:PORT
	StartUp time.Duration // from start to ready, model loading included

	cmd    *exec.Cmd
	exited chan struct{} // closed once the process is gone and err is set
	err    error
	stderr tail
}

// listening is what a server prints before its URL once its port is open.
const listening = "listening on "

// Start runs a command that is a server: it prints a line with "listening on URL" on standard output and answers
// /health/ready with 200 when its model is loaded. Start returns when it does. The process's standard error goes to log.
//
// A server that ends before it is ready, or when ctx does, is an error that has the last thing it said. One that calls
// FollowParent does not outlive this process.
func Start(ctx context.Context, log io.Writer, command string, args ...string) (*Process, error) {
	began := time.Now()
	p := &Process{cmd: exec.Command(command, args...), exited: make(chan struct{})}
	p.cmd.Stderr = io.MultiWriter(log, &p.stderr)
	// Its own process group: Ctrl-C in a terminal must stop the load first and the server after it, not both at once.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Env = append(os.Environ(), lifeline+"=1")
	if _, err := p.cmd.StdinPipe(); err != nil { // is closed once the process has ended, or when this one does
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	urls := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if _, url, ok := strings.Cut(lines.Text(), listening); ok && p.URL == "" {
				select {
				case urls <- strings.TrimSpace(url):
				default:
				}
			}
		}
		io.Copy(io.Discard, stdout)
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.await(ctx, urls); err != nil {
		p.Kill()
		return nil, err
	}
	p.StartUp = time.Since(began)
	return p, nil
}

// await waits for the URL and then for readiness.
func (p *Process) await(ctx context.Context, urls <-chan string) error {
	select {
	case p.URL = <-urls:
	case <-p.exited:
		return p.died()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c := client.New(p.URL)
	defer c.Close()
	poll := time.NewTicker(20 * time.Millisecond) // between processes there is nothing to wait on
	defer poll.Stop()
	for {
		if c.Ready(ctx) {
			return nil
		}
		select {
		case <-poll.C:
		case <-p.exited:
			return p.died()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *Process) died() error {
	if last := p.stderr.last(); last != "" {
		return errors.New(last)
	}
	return fmt.Errorf("the server ended before it was ready: %w", p.err)
}

// Exited is closed once the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop asks the server to finish what it has begun and end, and kills it when it has not after patience. The error is how
// it ended.
func (p *Process) Stop(patience time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.exited:
		return p.err
	case <-limit.C:
		p.Kill()
		return fmt.Errorf("the server did not end within %v of SIGTERM and was killed", patience)
	}
}

// Kill ends the process at once and waits until it is gone.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// Usage is what the process has used until now.
func (p *Process) Usage() (Usage, error) { return usage(p.cmd.Process.Pid) }

// Usage is what a process uses of the machine.
type Usage struct {
	RSS   int64         // resident memory, bytes
	CPU   time.Duration // user and system time
	Files int           // open ones; -1 unknown
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text) - 8<<10; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

// last is the last line that is not empty.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// ExitStatus is how an ended process ended: its exit code, or the name of the signal that killed it.
func (p *Process) ExitStatus() string {
	<-p.exited
	state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && state.Signaled() {
		return state.Signal().String()
	}
	return strconv.Itoa(p.cmd.ProcessState.ExitCode())
}

// OwnCPU is the processor time, user and system, that this process has used.
func OwnCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
