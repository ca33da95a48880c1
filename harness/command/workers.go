package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/table"
	"loadstone/harness/workers"
	"loadstone/internal/broker"
)

// natsVariable is the environment variable that the address of a NATS server is taken from: one
// with a password in it is seen by all where it is an argument.
const natsVariable = "LOADSTONE_NATS"

const workersAbout = `Starts a NATS server and workers: processes that put the load of loadstone run or bench on a server
together, each a part of it, and measure as if they were one. The server listens on loopback; with
-config, a file in NATS's own form, it has users or TLS and may listen elsewhere, and workers on
other machines join it (loadstone worker). It runs until it is ended.

What is split are the agents, each with all that it asks. All workers' requests together are those
of one process, byte for byte. In a closed loop of N agents at a time each of n workers has N/n
places, and the first N mod n of them one more; which agent takes a place next is each worker's own
to decide. Times are of each worker's clock, whose offset is measured and stated.`

const workersExamples = `  loadstone workers -n 4
  loadstone run chat.txtar -url http://127.0.0.1:8080 -workers nats://127.0.0.1:4222
  loadstone workers -n 2 -config nats.conf -join tls://me:secret@host-a:4222
  loadstone worker -join tls://me:secret@host-a:4222 -nats-ca ca.pem       on another machine

Exit codes: 0 ended by a signal, 1 the NATS server cannot listen, or no worker is left, 2 wrong
command line.
`

func workersCommand(ctx context.Context, e *env, args []string) error {
	f := flags("workers", workersAbout, workersExamples, e.stdout)
	n := f.Int("n", 4, "workers to start")
	listen := f.String("listen", "", "`address` of the NATS server; default: 127.0.0.1:4222, or "+
		"what -config says")
	config := f.String("config", "", "`file` with the configuration of the NATS server, in its "+
		"own form")
	join := f.String("join", "", "`address` at which the workers find it, with a user where it "+
		"wants one; default: "+
		natsVariable+", or where it listens")
	remote := f.Bool("allow-remote", false, "let the workers load servers off this machine; only "+
		"for servers that are yours")
	var access broker.Access
	accessFlags(f, &access)
	if err := f.parse(args); err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return usageError("unexpected argument %q; loadstone workers -h lists the flags", f.Arg(0))
	case *n < 1 || *n > 1000:
		return usageError("-n is %d; want 1 to 1000", *n)
	}
	if *listen == "" && *config == "" {
		*listen = "127.0.0.1:4222"
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	s, err := broker.Serve(*listen, *config)
	if _, ok := errors.AsType[*broker.OpenError](err); ok {
		return usageError("-listen %w: -config", err)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: -listen chooses another address; loadstone worker -join adds a worker "+
			"to a NATS server that runs", err)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	address := cmp.Or(*join, os.Getenv(natsVariable), s.URL)
	fmt.Fprintf(e.stdout, "the NATS server is listening on %s\n"+
		"loadstone bench or run with -workers %[1]s has its load sent from here\n", s.URL)
	return runWorkers(ctx, e, *n, address, workerArgs(*remote, access))
}

// workerArgs are the flags of workers that are started here.
func workerArgs(remote bool, access broker.Access) (args []string) {
	if remote {
		args = append(args, "-allow-remote")
	}
	if access.Creds != "" {
		args = append(args, "-nats-creds", access.Creds)
	}
	if access.CA != "" {
		args = append(args, "-nats-ca", access.CA)
	}
	if access.Plain {
		args = append(args, "-nats-plain")
	}
	return args
}

// runWorkers runs workers as processes of their own until the context ends, or none is left.
func runWorkers(ctx context.Context, e *env, n int, address string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log := &lines{w: e.stderr}
	var running sync.WaitGroup
	for i := range n {
		cmd := exec.Command(self, append([]string{"worker"}, args...)...)
		cmd.Env = append(os.Environ(), natsVariable+"="+address)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is told to them by this process
		if err := proc.Tie(cmd); err != nil {
			return err
		}
		out, err := cmd.StderrPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return fmt.Errorf("worker %d does not start: %w", i+1, err)
		}
		over := context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) })
		running.Go(func() {
			defer over()
			log.copy(out)
			if err := cmd.Wait(); ctx.Err() == nil {
				log.print(fmt.Sprintf("worker %d of %d, process %d, has ended: %v", i+1, n,
					cmd.Process.Pid, err))
			}
		})
	}
	running.Wait()
	if ctx.Err() == nil {
		return errors.New("no worker is left")
	}
	return nil
}

// lines writes whole lines that come from several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, line)
}

func (l *lines) copy(r io.Reader) {
	for text := bufio.NewScanner(r); text.Scan(); {
		l.print(text.Text())
	}
}

const workerAbout = `Joins a NATS server as a worker: it puts its part of a load on a server where the coordinator,
loadstone run or bench with -workers, tells it to. It waits for the next coordinator until it is
ended.

It loads servers on its own machine alone unless -allow-remote is given: whoever can publish to the
NATS server decides what it loads. Targets, with the API key and the headers that they want, come
over NATS too, and all prompts and answers, so a NATS server off this machine must have TLS (tls://,
or -nats-ca) unless -nats-plain is given.`

const workerExamples = `  loadstone worker -join nats://127.0.0.1:4222
  loadstone worker -join tls://host-a:4222 -nats-creds me.creds -allow-remote

Exit codes: 0 ended by a signal, 2 wrong command line, 4 no NATS server can be reached.
`

func workerCommand(ctx context.Context, e *env, args []string) error {
	f := flags("worker", workerAbout, workerExamples, e.stdout)
	join := f.String("join", "", "`address` of the NATS server; default: "+natsVariable)
	remote := f.Bool("allow-remote", false, "load servers off this machine; only for servers that "+
		"are yours")
	var access broker.Access
	accessFlags(f, &access)
	if err := f.parse(args); err != nil {
		return err
	}
	*join = cmp.Or(*join, os.Getenv(natsVariable))
	switch {
	case f.NArg() > 0:
		return usageError("unexpected argument %q; loadstone worker -h lists the flags", f.Arg(0))
	case *join == "":
		return usageError("want -join URL, or the address in %s; loadstone workers starts a "+
			"NATS server", natsVariable)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	nc, err := joinNATS(*join, access, "loadstone worker")
	if err != nil {
		return err
	}
	defer nc.Close()
	w := workers.Worker{Remote: *remote, Log: e.stderr}
	return w.Run(ctx, nc)
}

func accessFlags(f *flagSet, a *broker.Access) {
	f.StringVar(&a.Creds, "nats-creds", "", "`file` of NATS credentials (nsc makes it)")
	f.StringVar(&a.CA, "nats-ca", "", "`file` with the certificate of the authority of the "+
		"NATS server")
	f.BoolVar(&a.Plain, "nats-plain", false,
		"let NATS go to other machines without TLS; only on a network that is yours")
}

// joinNATS connects to a NATS server as the flags say.
func joinNATS(address string, a broker.Access, name string) (*nats.Conn, error) {
	nc, err := broker.Connect(address, a, name)
	if _, ok := errors.AsType[*broker.PlainError](err); ok {
		return nil, usageError("%w, or -nats-plain", err)
	}
	if err != nil {
		return nil, &exitError{exitUnreachable, err}
	}
	return nc, nil
}

// crewOptions are the workers that a measurement has.
type crewOptions struct {
	url    string
	min    int
	access broker.Access
}

func (o *crewOptions) flags(f *flagSet) {
	f.StringVar(&o.url, "workers", "", "`URL` of a NATS server whose workers send the load, such as "+
		"nats://127.0.0.1:4222; loadstone workers starts some")
	f.IntVar(&o.min, "workers-min", 1, "wait, a minute at most, until so many workers have joined")
	accessFlags(f, &o.access)
}

func (o *crewOptions) settle(set map[string]bool) error {
	switch {
	case o.url == "" && (set["workers-min"] || set["nats-creds"] || set["nats-ca"] ||
		set["nats-plain"]):
		return usageError("-workers-min, -nats-creds, -nats-ca and -nats-plain are for workers: " +
			"want -workers URL")
	case o.min < 1:
		return usageError("-workers-min is %d; want at least 1", o.min)
	}
	if n, err := strconv.Atoi(o.url); err == nil {
		return usageError("-workers is the address of the NATS server that the workers have joined, not "+
			"how many there are: loadstone workers -n %d starts one, with %[1]d workers", max(n, 1))
	}
	return nil
}

// call finds the workers; nil where the measurement has none.
func (o *crewOptions) call(ctx context.Context) (*workers.Coordinator, error) {
	if o.url == "" {
		return nil, nil
	}
	nc, err := joinNATS(o.url, o.access, "loadstone coordinator")
	if err != nil {
		return nil, err
	}
	patience := time.Second
	if o.min > 1 {
		patience = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := workers.Call(ctx, nc, o.min)
	if err != nil {
		nc.Close()
		return nil, &exitError{exitUnreachable, o.wayOut(err)}
	}
	return c, nil
}

// wayOut adds to an error of calling the workers what the user can do about it.
func (o *crewOptions) wayOut(err error) error {
	few, ok := errors.AsType[*workers.TooFewError](err)
	if !ok {
		return err
	}
	more := "loadstone worker -join " + o.url + " starts one"
	if at, err := url.Parse(o.url); err == nil {
		more = "loadstone worker -join " + at.Redacted() + " starts one"
	}
	switch {
	case few.Busy != nil:
		return fmt.Errorf("%w: wait until that has ended, or add one: %s", err, more)
	case o.min > 1:
		return fmt.Errorf("%w: %s more, and -workers-min says how many are waited for", err, more)
	}
	return fmt.Errorf("%w: %s", err, more)
}

// lead makes the workers those of a measurement.
func (m *measurement) lead(ctx context.Context, e *env, c *client.Client) error {
	o := &m.options.access
	t := workers.Target{URL: m.target.system.URL, Model: m.target.model, Key: m.target.to.Key,
		API: m.target.to.API, Forms: m.target.to.Forms, Headers: m.target.to.Headers,
		Body: m.target.to.Body, Insecure: o.insecure, Traced: c.Traced}
	if o.ca != "" {
		var err error
		if t.CA, err = os.ReadFile(o.ca); err != nil {
			return usageError("-ca: %w", err)
		}
	}
	if err := m.crew.Claim(ctx, t, c.Since); err != nil {
		return &exitError{exitUnreachable, err}
	}
	if !m.options.quiet {
		fmt.Fprintf(e.stderr, "%s send the load\n", table.Plural(m.crew.Size(), "worker"))
	}
	return nil
}
