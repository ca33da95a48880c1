package world

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os/exec"
	"slices"

	"loadstone/internal/world/script"
)

// A process is a guest that has started and forks for each episode.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// openNative returns a guest whose program runs as a process.
func openNative(path string, b Build) (*Guest, error) {
	g := &Guest{path: path, env: b.Env}
	b.say("starting it")
	p, err := g.newProcess()
	if err != nil {
		return nil, err
	}
	g.processes.put(p)
	return g, nil
}

// newProcess starts a process and warms it up. If that fails, it fails in the episodes too, which
// say more of it: then the process has not been warmed up.
func (g *Guest) newProcess() (*process, error) {
	first := warmUp
	if g.cold {
		first = ""
	}
	p, err := startProcess(g.path, slices.Concat(environment, []string{"GOMAXPROCS=1", "TZ=UTC",
		"GODEBUG=asyncpreemptoff=1,containermaxprocs=0,updatemaxprocs=0"}, g.env))
	if err != nil {
		return nil, err
	}
	if _, _, err = p.play([32]byte{}, first); err != nil && !g.cold {
		p.end()
		g.cold = true
		return g.newProcess()
	}
	return p, err
}

func startProcess(path string, env []string) (*process, error) {
	c := exec.Command(path)
	c.Args, c.Env = []string{"guest"}, env
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{c, in, bufio.NewReader(out)}, c.Start()
}

// end ends a process that is idle.
func (p *process) end() {
	p.in.Close()
	p.command.Wait()
}

// play has an episode played, and returns the status at its end and its log. An error is of the
// process itself.
func (p *process) play(key [32]byte, text string) (status int, log []byte, err error) {
	request := binary.LittleEndian.AppendUint32(key[:], uint32(len(text)))
	if _, err := p.in.Write(append(request, text...)); err != nil {
		return 0, nil, err
	}
	var head [12]byte
	if _, err := io.ReadFull(p.out, head[:]); err != nil {
		return 0, nil, err
	}
	log = make([]byte, binary.LittleEndian.Uint64(head[4:]))
	_, err = io.ReadFull(p.out, log)
	return int(binary.LittleEndian.Uint32(head[:])), log, err
}

// runNative plays an episode in a process.
func (g *Guest) runNative(s script.Script) (Result, error) {
	p, ok := g.processes.take()
	if !ok {
		var err error
		if p, err = g.newProcess(); err != nil {
			return Result{}, fmt.Errorf("the start of the guest: %w", err)
		}
	}
	status, log, err := p.play(randomKey(seedName(s.Seed)), s.String())
	if err != nil {
		p.end()
		return Result{}, fmt.Errorf("the process of the guest: %w", err)
	}
	g.processes.put(p)
	r := Result{Log: log}
	if status != 0 {
		err = fmt.Errorf("wait status %#x", status)
	}
	return r, r.judge(err)
}
