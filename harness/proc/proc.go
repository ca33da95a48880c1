// Package proc runs a server under test as a process of its own, and measures what processes use of
// the machine: the server's, and this one, which is the load generator's.
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
	stderr lastWords
}

// listening is what a server prints before its URL once its port is open.
const listening = "listening on "

// Start runs a command that is a server: it prints a line with "listening on URL" on standard
// output, and says by /health/ready, or as client.Client.Ready has it, when its model is loaded.
// Start returns when it does. The process's standard error goes to log.
//
// A server that ends before it is ready is an *ExitError. When ctx ends before the server is ready,
// Start kills it and returns the context's cause. A server that calls FollowParent does not outlive
// this process.
func Start(ctx context.Context, log io.Writer, command string, args ...string) (*Process, error) {
	began := time.Now()
	p := &Process{cmd: exec.Command(command, args...), exited: make(chan struct{})}
	p.cmd.Stderr = io.MultiWriter(log, &p.stderr)
	// Its own process group: Ctrl-C in a terminal must stop the load first and the server after it,
	// not both at once.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := Tie(p.cmd); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	url := make(chan string, 1)
	go p.follow(stdout, url)
	if p.URL, err = p.await(ctx, url); err != nil {
		p.Kill()
		return nil, err
	}
	p.StartUp = time.Since(began)
	return p, nil
}

// follow reads the process's standard output until it ends, and sends the first URL in it.
func (p *Process) follow(stdout io.Reader, url chan<- string) {
	lines := bufio.NewScanner(stdout)
	for sent := false; lines.Scan(); {
		if _, found, ok := strings.Cut(lines.Text(), listening); ok && !sent {
			url <- strings.TrimSpace(found)
			sent = true
		}
	}
	io.Copy(io.Discard, stdout)
	p.err = p.cmd.Wait()
	close(p.exited)
}

// await waits for the URL and then for readiness.
func (p *Process) await(ctx context.Context, urls <-chan string) (url string, err error) {
	select {
	case url = <-urls:
	case <-p.exited:
		return "", p.exitError()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	c := client.New(url)
	defer c.Close()
	poll := time.NewTicker(20 * time.Millisecond) // another process cannot tell this one
	defer poll.Stop()
	for {
		if c.Ready(ctx) {
			return url, nil
		}
		select {
		case <-poll.C:
		case <-p.exited:
			return "", p.exitError()
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// An ExitError says that a server ended before it was ready.
type ExitError struct {
	LastWords string // what it wrote last on standard error; "" if nothing
	Err       error  // how it ended; nil: with exit code 0
}

// Error is the server's last words, where it has any: they say why.
func (e *ExitError) Error() string {
	switch {
	case e.LastWords != "":
		return e.LastWords
	case e.Err == nil:
		return "the server ended before it was ready"
	}
	return fmt.Sprintf("the server ended before it was ready: %v", e.Err)
}

func (e *ExitError) Unwrap() error { return e.Err }

func (p *Process) exitError() error { return &ExitError{p.stderr.words(), p.err} }

// Exited is closed once the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// LastWords is what the process has written last on standard error: the line that says so if it
// panicked, else its last line that is not empty. Once Exited is closed it is complete.
func (p *Process) LastWords() string { return p.stderr.words() }

// ExitStatus waits until the process has ended and returns how: its exit code, or the name of the
// signal that killed it.
func (p *Process) ExitStatus() string {
	<-p.exited
	state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && state.Signaled() {
		return state.Signal().String()
	}
	return strconv.Itoa(p.cmd.ProcessState.ExitCode())
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop asks the server by SIGTERM to finish what it has begun and end. It kills a server that has
// not ended after patience. The error says how the server ended.
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
