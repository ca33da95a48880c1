package service

import (
	"cmp"
	"flag"
	"fmt"
	"net"
	"slices"
	"time"
)

// listenFlags declares the flags of where the server listens, and what it takes.
func (o *options) listenFlags(f *flag.FlagSet) {
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 is any free one")
	f.StringVar(&o.origins, "origins", "",
		"web `origins`, separated by commas, whose pages may use the server, "+
			"beside those of this machine; * is all")
	o.maxBody = 8 << 20
	f.Var((*byteSize)(&o.maxBody), "max-body",
		"`size` of the largest request; larger ones get 413. "+
			"Imports of memories are bounded by -agents-disk")
	f.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second,
		"how long answers in flight may take after the first signal")
}

func (o *options) checkListen() error {
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return fmt.Errorf("-addr %s is not an address to listen on; want one like 127.0.0.1:8080",
			o.addr)
	}
	return nil
}

// keyFlags declares the flags of who may use the server, how much, and what of others.
func (o *options) keyFlags(f *flag.FlagSet) {
	f.StringVar(&o.keyFile, "api-key-file", "",
		"`file` with the API keys that are accepted, beside those in LOADSTONE_API_KEY and "+
			"LOADSTONE_API_KEYS: NAME KEY on each line, or KEY alone, which is a principal of its "+
			"own. Agents belong to principals, and no other key reaches them. Words behind the key "+
			"bound the principal: rate=60 (requests a minute), in-flight=4, pool=512MiB (of the KV "+
			"cache), disk=2GiB. SIGHUP has the file read again")
	f.StringVar(&o.adminKeyFile, "admin-key-file", "",
		"`file` with the operator's keys, one on each line, which open /metrics and /admin with "+
			"the names of principals and agents; SIGHUP has it read again")
	f.TextVar((*sharing)(&o.engine.Sharing), "share", (*sharing)(&o.engine.Sharing),
		"whose requests find what others have left of a prefix: `key`, those of the same "+
			"principal; none, those of the same agent; all, everybody's, so that everybody can find "+
			"out what others have sent")
	f.IntVar(&o.rate, "rate", 0,
		"requests that are taken in a minute; further ones get 429; 0 is no limit")
	f.IntVar(&o.agentRate, "agent-rate", 0, "requests that are taken from each agent in a minute; "+
		"further ones get 429; 0 is no limit")
}

func (o *options) checkKeys() error {
	return cmp.Or(atLeast("rate", o.rate, 0), atLeast("agent-rate", o.agentRate, 0))
}

// logFlags declares the flags of what the server tells.
func (o *options) logFlags(f *flag.FlagSet) {
	f.StringVar(&o.accessLog, "access-log", "-",
		"`file` to which a line is appended for each request; - is stderr, empty is none")
	f.StringVar(&o.accessFormat, "access-format", "line",
		"`format` of the access log: line, which 'loadstone logs' reads; "+
			"text or json, with agents and token counts. None has prompts")
	f.BoolVar(&o.quiet, "quiet-probes", false,
		"do not log scrapes, health checks and requests of the status page that went well")
	f.BoolVar(&o.silent, "q", false, "do not show the progress of loading")
	f.StringVar(&o.otlp, "otlp", "", "`URL` of an OpenTelemetry collector that gets a span for each "+
		"request, over HTTP, such as http://127.0.0.1:4318. A request whose caller records its own span "+
		"(traceparent) is a part of that trace; of the others each has a trace of its own")
	f.BoolVar(&o.version, "version", false, "print versions and exit")
}

func (o *options) checkLog() error {
	if !slices.Contains([]string{"line", "text", "json"}, o.accessFormat) {
		return fmt.Errorf("unknown -access-format %q; want line, text or json", o.accessFormat)
	}
	return nil
}
