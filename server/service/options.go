package service

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/engine"
	"loadstone/metal"
)

// options are the command line.
type options struct {
	addr         string
	model        string
	backend      string
	kv           string        // format of the KV cache
	engine       engine.Config // all but the model
	accessLog    string
	accessFormat string
	quiet        bool
	silent       bool
	origins      string
	maxBody      int64
	keyFile      string
	rate         int
	agentRate    int
	drain        time.Duration
	version      bool
}

const usage = `usage: loadstone serve [flags], or loadstone-server [flags], which is this command alone

Serves one model over the OpenAI and Anthropic APIs, until SIGTERM or an interrupt; a second signal exits at once.

  POST /v1/chat/completions    POST /v1/completions    POST /v1/messages    POST /v1/messages/count_tokens
  GET /v1/models               GET /metrics            GET /health/live|ready|startup      GET / (status page)
  POST and GET /v1/agents      GET and DELETE /v1/agents/ID      POST /v1/agents/ID/generate|pin|unpin
  GET /v1/agents/stats         GET /v1/agents/ID/export          POST /v1/agents/import

Whose memory a request continues, on every API: the agent's in the path, or else in the header X-Agent-ID, X-Session-ID,
or the body's session_id, the first that is there. Without any it is nobody's, and only common beginnings are reused.

Flags:
`

const examples = `
Examples:
  loadstone serve -model smollm2 -agents-dir ~/agents
  loadstone serve -addr 127.0.0.1:0 -kv-bytes 1GiB -kv q8
  curl http://127.0.0.1:8080/v1/chat/completions -d '{"messages":[{"role":"user","content":"What is a loadstone?"}]}'

Exit codes: 0 ended, and no answer was cut off, 1 it could not start or went wrong, 2 wrong command line.
`

// parse reads the command line. Help goes to stdout, and its error is flag.ErrHelp.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the error alone says what is wrong; its caller prints it
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 is any free one")
	f.StringVar(&o.model, "model", "tiny", "`model` to serve: a name that 'loadstone model list' knows, or a checkpoint folder")
	f.StringVar(&o.backend, "backend", "auto", "what runs it: metal (MLX), ref (pure Go), or auto: metal where this build has it")
	f.StringVar(&o.kv, "kv", "auto", "`format` of the KV cache, in memory and on disk: f32, f16, q8, q4 (8 and 4 bits in groups of 64), or auto: what the backend computes in")
	o.engine.KVBytes = 256 << 20
	f.Var((*byteSize)(&o.engine.KVBytes), "kv-bytes", "`size` of the KV cache, such as 512MiB")
	f.IntVar(&o.engine.BlockTokens, "block-tokens", 32, "tokens in a block of the KV cache")
	f.IntVar(&o.engine.MaxBatch, "max-batch", 32, "requests that run at once")
	f.IntVar(&o.engine.StepTokens, "step-tokens", 256, "most tokens in one step of the model; beside running answers prompts get fewer, by what steps cost")
	f.IntVar(&o.engine.MaxQueue, "max-queue", 512, "requests that wait; beyond it they get 429")
	f.IntVar(&o.engine.MaxPerAgent, "max-per-agent", 0, "requests of one agent that wait or run; beyond it they get 429; 0 is no limit")
	f.StringVar(&o.engine.Dir, "agents-dir", "", "`directory` of agents' memories, which then survive restarts; of one server and one model. Empty: none")
	o.engine.DiskBytes = 16 << 30
	f.Var((*byteSize)(&o.engine.DiskBytes), "agents-disk", "`size` that agents' memories may take on disk; the longest unused go first")
	f.DurationVar(&o.engine.TTL, "agents-ttl", 0, "after how long an unused memory is deleted; 0 is never")
	f.StringVar(&o.accessLog, "access-log", "-", "`file` to append a line a request to; - is stderr, empty is none")
	f.StringVar(&o.accessFormat, "access-format", "line", "`form` of the access log: line, as 'loadstone logs' reads it; text or json, with agents and token counts, never a prompt")
	f.BoolVar(&o.quiet, "quiet-probes", false, "log no scrapes, health checks and looks of the status page that went well")
	f.BoolVar(&o.silent, "q", false, "do not show how far a load is")
	o.maxBody = 8 << 20
	f.Var((*byteSize)(&o.maxBody), "max-body", "`size` of the largest request; beyond it they get 413. Imports of memories are bounded by -agents-disk")
	f.StringVar(&o.origins, "origins", "", "web `origins`, separated by commas, whose pages may use the server beside this machine's own; * is all")
	f.StringVar(&o.keyFile, "api-key-file", "", "`file` with the API keys that are let in, one a line; so are those in LOADSTONE_API_KEY and LOADSTONE_API_KEYS")
	f.IntVar(&o.rate, "rate", 0, "requests a minute that are taken; beyond it they get 429; 0 is any number")
	f.IntVar(&o.agentRate, "agent-rate", 0, "requests a minute that are taken of each agent; beyond it they get 429; 0 is any number")
	f.DurationVar(&o.drain, "drain-timeout", 30*time.Second, "how long answers in flight may take after the first signal")
	f.BoolVar(&o.version, "version", false, "print versions and exit")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, usage)
			f.SetOutput(stdout)
			f.PrintDefaults()
			fmt.Fprint(stdout, examples)
			return nil, err
		}
		return nil, fmt.Errorf("%w; -h lists the flags", err)
	}
	return o, o.check(f.Args())
}

func (o *options) check(rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q; -h lists the flags", rest[0])
	}
	switch o.backend {
	case "auto":
		o.backend = "ref"
		if metal.Available {
			o.backend = "metal"
		}
	case "ref":
	case "metal":
		if !metal.Available {
			return metal.ErrUnavailable
		}
	default:
		return fmt.Errorf("unknown backend %q; want auto, ref or metal", o.backend)
	}
	if !slices.Contains([]string{"auto", "f32", "f16", "q8", "q4"}, o.kv) {
		return fmt.Errorf("unknown -kv %q; want auto, f32, f16, q8 or q4", o.kv)
	}
	if !slices.Contains([]string{"line", "text", "json"}, o.accessFormat) {
		return fmt.Errorf("unknown -access-format %q; want line, text or json", o.accessFormat)
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"block-tokens", o.engine.BlockTokens}, {"max-batch", o.engine.MaxBatch}, {"step-tokens", o.engine.StepTokens}, {"max-queue", o.engine.MaxQueue}} {
		if n.value < 1 {
			return fmt.Errorf("-%s is %d; want at least 1", n.flag, n.value)
		}
	}
	if o.engine.TTL < 0 {
		return fmt.Errorf("-agents-ttl is %v; want 0 or more", o.engine.TTL)
	}
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return fmt.Errorf("-addr %s is no address to listen on; want one like 127.0.0.1:8080", o.addr)
	}
	if o.engine.MaxPerAgent < 0 {
		return fmt.Errorf("-max-per-agent is %d; want 0 or more", o.engine.MaxPerAgent)
	}
	if o.rate < 0 || o.agentRate < 0 {
		return fmt.Errorf("-rate is %d and -agent-rate %d; want 0 or more", o.rate, o.agentRate)
	}
	return nil
}

// keys are those of the file and of the environment: all of them are let in.
func (o *options) keys() ([]string, error) {
	keys := splitList(os.Getenv("LOADSTONE_API_KEY") + "," + os.Getenv("LOADSTONE_API_KEYS"))
	if o.keyFile == "" {
		return keys, nil
	}
	b, err := os.ReadFile(o.keyFile)
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(string(b))
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s has no keys: a server that is to ask for one would let nobody in", o.keyFile)
	}
	return append(keys, lines...), nil
}

// byteSize is a flag: bytes, or a number of KiB, MiB or GiB.
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
