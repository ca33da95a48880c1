package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"

	"loadstone/internal/world/script"
)

// A Result is what came of an episode.
type Result struct {
	Log       []byte
	Invariant string // that does not hold, "": all hold
	Reason    string // one line
	Counts
}

// Counts are what an episode, or many, had.
type Counts struct {
	Episodes                                              int
	Time                                                  time.Duration // in the world
	Requests, Answers, Steps, Faults, Restarts, DiskCalls int
}

// Add adds those of other episodes.
func (c *Counts) Add(o Counts) {
	c.Episodes += o.Episodes
	c.Time += o.Time
	c.Requests += o.Requests
	c.Answers += o.Answers
	c.Steps += o.Steps
	c.Faults += o.Faults
	c.Restarts += o.Restarts
	c.DiskCalls += o.DiskCalls
}

// Run plays an episode. The error is the host's own; what the guest does wrong is in the result.
func (g *Guest) Run(ctx context.Context, s script.Script) (Result, error) {
	if g.path != "" {
		return g.runNative(s)
	}
	in, err := g.instance(ctx)
	if err != nil {
		return Result{}, err
	}
	var out bytes.Buffer
	*in.host = host{
		random: random(seedName(s.Seed)),
		in:     strings.NewReader(s.String()),
		out:    &out,
	}
	_, in.written, err = in.play(context.WithValue(ctx, logKey{}, &out))
	if err == nil {
		g.release(in)
	} else {
		in.module.Close(ctx)
	}
	r := Result{Log: out.Bytes()}
	return r, r.judge(err)
}

// A host is what a guest has of the world outside: random numbers from a seed.
type host struct {
	random io.Reader
	in     io.Reader
	out    io.Writer
}

// seedName returns what the random numbers of a seed come from.
func seedName(seed uint64) string { return fmt.Sprintf("seed %d", seed) }

// random returns the random numbers that come from a name.
func random(name string) io.Reader { return rand.NewChaCha8(randomKey(name)) }

func randomKey(name string) (key [32]byte) {
	copy(key[:], name)
	return key
}

// environment is what every guest has. It collects no garbage: an episode makes little, and what it
// has made is gone with it.
var environment = []string{"GOGC=off", "GOTRACEBACK=all"}

// config returns how a guest is instantiated, with a host that may change from episode to episode.
func (g *Guest) config(h *host) wazero.ModuleConfig {
	config := wazero.NewModuleConfig().WithName("").WithArgs("guest").
		WithStartFunctions().
		WithStdin(reader(func(b []byte) (int, error) { return h.in.Read(b) })).
		WithStdout(writer(func(b []byte) (int, error) { return h.out.Write(b) })).
		WithStderr(writer(func(b []byte) (int, error) { return h.out.Write(b) })).
		WithRandSource(reader(func(b []byte) (int, error) { return h.random.Read(b) })).
		WithOsyield(func() {})
	for _, pair := range slices.Concat(environment, g.env) {
		k, v, _ := strings.Cut(pair, "=")
		config = config.WithEnv(k, v)
	}
	return config
}

type (
	reader func([]byte) (int, error)
	writer func([]byte) (int, error)
)

func (r reader) Read(b []byte) (int, error)  { return r(b) }
func (w writer) Write(b []byte) (int, error) { return w(b) }

var violation = regexp.MustCompile(`(?m)^ *[0-9.]+ world +VIOLATION ([a-z]+): (.*)$`)

// judge reads what a guest says of its end.
func (r *Result) judge(err error) error {
	exit, ok := errors.AsType[*sys.ExitError](err)
	switch {
	case err == nil || ok && exit.ExitCode() == 0:
		return r.count()
	}
	if m := violation.FindSubmatch(r.Log); m != nil {
		r.Invariant, r.Reason = string(m[1]), string(m[2])
		return nil
	}
	// A library of Go does not exit where it panics, it traps.
	for line := range strings.Lines(string(r.Log)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			r.Invariant, r.Reason = "crash", line
			if strings.Contains(line, "deadlock") {
				r.Invariant = "deadlock"
			} else if strings.Contains(line, spins) {
				r.Invariant = "spin"
			}
			return nil
		}
	}
	return fmt.Errorf("the guest ended: %w\n%s", err, tail(r.Log))
}

// count reads the guest's last line.
func (r *Result) count() error {
	var virtual string
	at := bytes.LastIndex(r.Log, []byte("done: "))
	if at < 0 {
		return fmt.Errorf("the guest has ended without a word\n%s", tail(r.Log))
	}
	r.Episodes = 1
	_, err := fmt.Sscanf(strings.ReplaceAll(string(r.Log[at:]), ",", ""),
		"done: %s %d requests %d answers %d steps %d faults %d restarts %d disk calls",
		&virtual, &r.Requests, &r.Answers, &r.Steps, &r.Faults, &r.Restarts, &r.DiskCalls)
	if err != nil {
		return fmt.Errorf("%w in %s", err, r.Log[at:])
	}
	r.Time, err = time.ParseDuration(virtual)
	return err
}

// tail returns the end of a log.
func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }
