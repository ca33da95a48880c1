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
why. So does every request of an agent that was created, or pinned, with {"durable": true} in the body.

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

// parse reads the command line. Help goes to stdout, and its error is flag.ErrHelp.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the caller prints the error
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 is any free one")
	f.StringVar(&o.model, "model", "tiny",
		"`model` to serve: a name that 'loadstone model list' knows, or a checkpoint folder")
	f.StringVar(&o.network.backend, "backend", "auto",
		"`backend` that runs the model: mlx (MLX), ref (pure Go), or auto: mlx where this build "+
			"has it, ref elsewhere. metal, the old name of mlx, is accepted for one more release")
	f.StringVar(&o.network.kv, "kv", "auto",
		"`format` of the KV cache, in memory and on disk: "+strings.Join(KVFormats(), ", ")+
			" (q8 and q4 have 8 and 4 bits in groups of 64), "+
			"or auto: the one in which the backend computes")
	f.IntVar(&o.network.activations, "activations", 8, "`bits`, 8 or 16, to which the mlx backend "+
		"rounds activations on a CPU beside quantised weights. With 16, answers are those of "+
		"float32 but for near ties, and prompts take about twice as long; ref rounds nothing")
	f.Func("parts", "`addresses`, HOST:PORT,HOST:PORT, of processes that each compute a part of "+
		"the model, which is then larger than any of them could have. All get the same list; the "+
		"first one serves, and listens for the others at the next port as well. On the mlx "+
		"backend; without encryption or keys, so for a network of your own",
		func(list string) error { o.network.part.Hosts = splitList(list); return nil })
	f.IntVar(&o.network.part.Rank, "part", 0, "`number` of this process in -parts, from 0. Other "+
		"than 0 it listens to nobody but the others, and ends with the first one")
	f.Var((*byteSize)(&o.engine.KVBytes), "kv-bytes", "`size` of the KV cache, such as 512MiB; "+
		"by default what one full context of the model takes, at least 256MiB and at most 4GiB")
	f.IntVar(&o.maxTokens, "max-tokens", 0, "longest answer to a request that names no length; "+
		"0: such an answer may go to the end of the model's context")
	f.Func("alias", "further `name` under which the model is served; may be given more than once; "+
		"* is any name", func(name string) error {
		if name == "" {
			return errors.New("want a name")
		}
		o.aliases = append(o.aliases, name)
		return nil
	})
	f.StringVar(&o.otlp, "otlp", "", "`URL` of an OpenTelemetry collector that gets a span for each "+
		"request, over HTTP, such as http://127.0.0.1:4318. A request whose caller records its own span "+
		"(traceparent) is a part of that trace; of the others each has a trace of its own")
	f.IntVar(&o.engine.BlockTokens, "block-tokens", 32, "tokens in a block of the KV cache")
	f.IntVar(&o.engine.MaxBatch, "max-batch", 32, "requests that may run at once")
	f.IntVar(&o.engine.StepTokens, "step-tokens", 256,
		"largest number of tokens in one step of the model; "+
			"beside running answers, prompts get fewer, depending on what steps cost")
	f.BoolVar(&o.engine.NoDrafts, "no-drafts", false,
		"compute one token of an answer in each step, and no draft of those that may follow. Answers "+
			"are the same; drafts repeat what the prompt or the answer has, and are not made where "+
			"they cost more than they save")
	f.IntVar(&o.engine.MaxQueue, "max-queue", 512, "requests that may wait; further ones get 429")
	f.IntVar(&o.engine.MaxPerAgent, "max-per-agent", 0,
		"requests of one agent that may wait or run; "+
			"further ones get 429; 0 is no limit")
	f.StringVar(&o.engine.Dir, "agents-dir", "",
		"`directory` for agents' memories, which then survive restarts; "+
			"for one server, unless -agents-shared, and one model. Empty: none")
	f.BoolVar(&o.engine.Shared, "agents-shared", false,
		"share -agents-dir with other servers of the same model, on this machine or on others that "+
			"mount it: an agent's memory then moves to the server that gets its next request")
	f.StringVar(&o.store, "agents-store", "",
		"`address` of an object store in place of -agents-dir, which all servers of the model may share: "+
			"s3://BUCKET/PREFIX, with the credentials and the endpoint in AWS_ACCESS_KEY_ID, "+
			"AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and AWS_REGION, or nats://HOST:4222/BUCKET "+
			"('loadstone store' starts one). Default: "+storeVariable)
	f.StringVar(&o.storeAccess.CA, "agents-store-ca", "",
		"`file` with the certificate of the authority of -agents-store")
	f.StringVar(&o.storeAccess.Creds, "agents-store-creds", "",
		"`file` of NATS credentials for -agents-store (nsc makes it)")
	f.BoolVar(&o.storeAccess.Plain, "agents-store-plain", false,
		"let memories go to an -agents-store on another machine without TLS; only on a network that is yours")
	f.DurationVar(&o.engine.Lease, "agents-lease", 15*time.Second,
		"how long a server that hangs keeps the memories that it has not saved from the others of "+
			"-agents-shared; one that has ended, however it ended, keeps none. With -agents-store it "+
			"is how long those of any server are kept that has ended without giving them away")
	o.engine.DiskBytes = 16 << 30
	f.Var((*byteSize)(&o.engine.DiskBytes), "agents-disk",
		"`size` that agents' memories may take on disk, or in -agents-store; "+
			"those unused for the longest time are deleted first")
	f.DurationVar(&o.engine.TTL, "agents-ttl", 0,
		"time after which an unused memory is deleted; 0 is never")
	f.IntVar(&o.responses.Responses, "responses", 0,
		"stored responses of the Responses API that each API key's owner may have, where there are "+
			"keys; beyond it the oldest are deleted. 0 is no limit")
	f.Var((*byteSize)(&o.responses.Bytes), "responses-bytes",
		"`size` that the stored responses of each owner may take; by default they may all take "+
			"1GiB together in -agents-dir, or 64MiB in RAM")
	f.DurationVar(&o.engine.SaveWithin, "save-within", 10*time.Second,
		"age that an agent's turn may have before its memory is on disk, while the disk keeps up; "+
			"0: memories are saved when they have rested a second, and an agent that never rests "+
			"is not saved")
	f.DurationVar(&o.durableWait, "durable-wait", 10*time.Second,
		"how long the end of an answer may wait for the disk if its request, or its agent, is durable")
	f.StringVar(&o.accessLog, "access-log", "-",
		"`file` to which a line is appended for each request; - is stderr, empty is none")
	f.StringVar(&o.accessFormat, "access-format", "line",
		"`format` of the access log: line, which 'loadstone logs' reads; "+
			"text or json, with agents and token counts. None has prompts")
	f.BoolVar(&o.quiet, "quiet-probes", false,
		"do not log scrapes, health checks and requests of the status page that went well")
	f.BoolVar(&o.silent, "q", false, "do not show the progress of loading")
	o.maxBody = 8 << 20
	f.Var((*byteSize)(&o.maxBody), "max-body",
		"`size` of the largest request; larger ones get 413. "+
			"Imports of memories are bounded by -agents-disk")
	f.StringVar(&o.origins, "origins", "",
		"web `origins`, separated by commas, whose pages may use the server, "+
			"beside those of this machine; * is all")
	f.StringVar(&o.keyFile, "api-key-file", "",
		"`file` with the API keys that are accepted, beside those in LOADSTONE_API_KEY and "+
			"LOADSTONE_API_KEYS: NAME KEY on each line, or KEY alone, which is a principal of its "+
			"own. Agents belong to principals, and no other key reaches them. Words behind the key "+
			"bound the principal: rate=60 (requests a minute), in-flight=4, pool=512MiB (of the KV "+
			"cache), disk=2GiB. SIGHUP has the file read again")
	f.StringVar(&o.adminKeyFile, "admin-key-file", "",
		"`file` with the operator's keys, one on each line, which open /metrics and /admin with "+
			"the names of principals and agents; SIGHUP has it read again")
	f.StringVar(&o.sealKeyFile, "seal-key-file", "",
		"`file` with the key that seals memories and responses on disk (AES-256-GCM): 64 hexadecimal "+
			"digits, as 'openssl rand -hex 32' prints them. Keys on further lines open what an "+
			"older key has sealed")
	f.TextVar((*sharing)(&o.engine.Sharing), "share", (*sharing)(&o.engine.Sharing),
		"whose requests find what others have left of a prefix: `key`, those of the same "+
			"principal; none, those of the same agent; all, everybody's, so that everybody can find "+
			"out what others have sent")
	f.IntVar(&o.rate, "rate", 0,
		"requests that are taken in a minute; further ones get 429; 0 is no limit")
	f.IntVar(&o.agentRate, "agent-rate", 0, "requests that are taken from each agent in a minute; "+
		"further ones get 429; 0 is no limit")
	f.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second,
		"how long answers in flight may take after the first signal")
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

// check checks the values, and that the command line has no rest. It puts a backend's name for
// auto.
func (o *options) check(rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q; -h lists the flags", rest[0])
	}
	o.network.backend = Backend(o.network.backend)
	if err := checkBackend(o.network.backend); err != nil {
		return err
	}
	if err := checkKVFormat(o.network.kv); err != nil {
		return err
	}
	if a := o.network.activations; a != 8 && a != 16 {
		return fmt.Errorf("-activations is %d; want 8 or 16", a)
	}
	if !slices.Contains([]string{"line", "text", "json"}, o.accessFormat) {
		return fmt.Errorf("unknown -access-format %q; want line, text or json", o.accessFormat)
	}
	if err := checkPart(o.network); err != nil {
		return err
	}
	for _, n := range []struct {
		flag  string
		value int
	}{
		{"block-tokens", o.engine.BlockTokens},
		{"max-batch", o.engine.MaxBatch},
		{"step-tokens", o.engine.StepTokens},
		{"max-queue", o.engine.MaxQueue},
	} {
		if n.value < 1 {
			return fmt.Errorf("-%s is %d; want at least 1", n.flag, n.value)
		}
	}
	if o.engine.TTL < 0 {
		return fmt.Errorf("-agents-ttl is %v; want 0 or more", o.engine.TTL)
	}
	if o.responses.Responses < 0 {
		return fmt.Errorf("-responses is %d; want 0 or more", o.responses.Responses)
	}
	if o.engine.SaveWithin < 0 {
		return fmt.Errorf("-save-within is %v; want 0 or more", o.engine.SaveWithin)
	}
	if err := o.checkStore(); err != nil {
		return err
	}
	if o.engine.Shared && o.engine.Dir == "" {
		return errors.New("-agents-shared has nothing to share without -agents-dir")
	}
	if o.engine.Lease < time.Second {
		return fmt.Errorf("-agents-lease is %v; want at least 1s", o.engine.Lease)
	}
	if o.sealKeyFile != "" && o.engine.Dir == "" && o.store == "" {
		return errors.New("-seal-key-file has nothing to seal without -agents-dir or -agents-store")
	}
	if o.durableWait <= 0 {
		return fmt.Errorf("-durable-wait is %v; want more than 0", o.durableWait)
	}
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return fmt.Errorf("-addr %s is not an address to listen on; want one like 127.0.0.1:8080",
			o.addr)
	}
	if o.engine.MaxPerAgent < 0 {
		return fmt.Errorf("-max-per-agent is %d; want 0 or more", o.engine.MaxPerAgent)
	}
	if o.maxTokens < 0 {
		return fmt.Errorf("-max-tokens is %d; want 0 or more", o.maxTokens)
	}
	if o.rate < 0 || o.agentRate < 0 {
		return fmt.Errorf("-rate is %d and -agent-rate %d; want 0 or more", o.rate, o.agentRate)
	}
	return nil
}

// storeVariable is the environment variable that the address of an object store is taken from: one with
// a password in it is seen by all where it is an argument.
const storeVariable = "LOADSTONE_AGENTS_STORE"

// checkStore checks where agents' memories are kept. It takes the address of an object store from the
// environment where the command line says nothing.
func (o *options) checkStore() error {
	switch {
	case o.store != "" && o.engine.Dir != "":
		return errors.New("-agents-dir and -agents-store: memories are in one of them")
	case o.store == "" && o.engine.Dir == "":
		o.store = os.Getenv(storeVariable)
	}
	switch {
	case o.store == "" && o.storeAccess != StoreAccess{}:
		return errors.New("-agents-store-ca, -agents-store-creds and -agents-store-plain are for an object store: " +
			"want -agents-store")
	case o.store != "" && o.engine.Shared:
		return errors.New("-agents-shared is for -agents-dir; an -agents-store is always shared")
	case strings.Contains(o.engine.Dir, "://"):
		return fmt.Errorf("-agents-dir is a directory; want -agents-store %s", o.engine.Dir)
	}
	return nil
}

// checkPart checks which part of a model this process is to have.
func checkPart(n network) error {
	p := n.part
	for _, host := range p.Hosts {
		if _, _, err := net.SplitHostPort(host); err != nil {
			return fmt.Errorf("-parts: %q is no address; want one like 10.0.0.1:9000", host)
		}
	}
	switch {
	case len(p.Hosts) == 0 && p.Rank == 0:
		return nil
	case len(p.Hosts) < 2:
		return errors.New("-parts needs two addresses or more, HOST:PORT,HOST:PORT")
	case p.Rank < 0 || p.Rank >= len(p.Hosts):
		return fmt.Errorf("-part is %d; -parts has parts 0 to %d", p.Rank, len(p.Hosts)-1)
	case n.backend != BackendMLX:
		return fmt.Errorf("-parts is for the mlx backend, not for %s", n.backend)
	}
	return nil
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
