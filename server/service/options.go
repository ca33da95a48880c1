package service

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"loadstone/engine"
	"loadstone/internal/helptext"
	"loadstone/server"
)

// options are the values of the command line.
type options struct {
	addr         string
	model        string
	network      network
	engine       engine.Config // everything except the model
	accessLog    string
	accessFormat string
	otlp         string
	quiet        bool
	silent       bool
	origins      string
	maxBody      int64
	keyFile      string
	adminKeyFile string
	sealKeyFile  string
	aliases      []string
	maxTokens    int
	rate         int
	agentRate    int
	drainTimeout time.Duration
	durableWait  time.Duration
	store        string // address of an object store
	storeAccess  StoreAccess
	responses    server.ResponseLimits
	version      bool
}

const usage = `usage: loadstone serve [flags], or loadstone-server [flags]

Serves one model over the OpenAI and Anthropic APIs until SIGTERM or an interrupt, and then finishes
the answers in flight. A second signal exits at once. The program loadstone-server has this command
alone.

  POST /v1/chat/completions    POST /v1/completions
  POST /v1/messages            POST /v1/messages/count_tokens
  GET /v1/models               GET /metrics
  GET /health, /health/live|ready|startup    GET / (status page)
  POST and GET /v1/agents                    GET and DELETE /v1/agents/ID
  POST /v1/agents/ID/generate|pin|unpin      GET /v1/agents/stats
  GET /v1/agents/ID/export                   POST /v1/agents/import

On every API, a request continues the memory of an agent: the one in the path or, where there is
none, in the header X-Agent-ID, the header X-Session-ID or the body's session_id, whichever comes
first. Without any of them the request has no memory, and only beginnings that prompts share are
reused.

With -agents-dir, a request with the header X-Durable: wait gets the end of its answer when its turn
is on disk, synced, and a header of that name, in a stream a trailer, that says saved, or failed and
why. So does every request of an agent that was created, or pinned, with {"durable": true} in the
body.

Flags:
`

const examples = `
Examples:
  loadstone serve -model smollm2 -agents-dir ~/agents
  loadstone serve -addr 127.0.0.1:0 -kv-bytes 1GiB -kv q8
  curl http://127.0.0.1:8080/v1/chat/completions \
    -d '{"max_tokens":64,"messages":[{"role":"user","content":"What is a loadstone?"}]}'

Exit codes: 0 it ended and cut off no answer, 1 it could not start or failed, 2 the command line is
wrong.
`

// A flagGroup is the flags of one matter, and what must hold of their values.
type flagGroup struct {
	declare func(*flag.FlagSet)
	check   func() error
}

func (o *options) groups() []flagGroup {
	return []flagGroup{
		{o.modelFlags, o.checkModel},
		{o.batchFlags, o.checkBatch},
		{o.storeFlags, o.checkStore},
		{o.keepFlags, o.checkKeep},
		{o.listenFlags, o.checkListen},
		{o.keyFlags, o.checkKeys},
		{o.logFlags, o.checkLog},
	}
}

// parse reads the command line. Help goes to stdout, and its error is flag.ErrHelp.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the caller prints the error
	groups := o.groups()
	for _, g := range groups {
		g.declare(f)
	}
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		helptext.Flags(stdout, f)
		fmt.Fprint(stdout, examples)
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w; -h lists the flags", err)
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q; -h lists the flags", f.Arg(0))
	}
	for _, g := range groups {
		if err := g.check(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// atLeast returns an error unless the value of a flag is at least a bound.
func atLeast[N int | time.Duration](flag string, value, bound N) error {
	switch {
	case value >= bound:
		return nil
	case bound == 0:
		return fmt.Errorf("-%s is %v; want 0 or more", flag, value)
	}
	return fmt.Errorf("-%s is %v; want at least %v", flag, value, bound)
}

// byteSize is the value of a flag: a number of bytes, or of KiB, MiB or GiB.
type byteSize int64

func (b *byteSize) String() string { return formatBytes(int64(*b)) }

func (b *byteSize) Set(s string) error {
	number, shift := s, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			number, shift = n, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 1 || n > (1<<62)>>shift {
		return errors.New("want a number of bytes, or one with KiB, MiB or GiB")
	}
	*b = byteSize(n << shift)
	return nil
}

// formatBytes writes a number of bytes in the largest unit of which it is a multiple.
func formatBytes(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB"}
	i := 0
	for n >= 1024 && n%1024 == 0 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d %s", n, units[0])
	}
	return fmt.Sprintf("%d%s", n, units[i])
}
