package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/proxy"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
	"loadstone/internal/peer"
)

const recordAbout = `Runs a proxy between your agents and a server, forwards every byte, and records
the sessions for loadstone run to replay: the calls of each agent, what each call added to the
conversation, the time that tools and people took between calls, the lengths of the answers, and how
much of each prompt the server had in its cache.

Give the agent the printed address in place of the server's. The proxy records OpenAI's chat,
responses and completions APIs and Anthropic's messages API, streamed or not; it forwards other
requests without recording them. It recognises a session by its name (X-Agent-ID, the session
headers of Claude Code and Codex, metadata.user_id, prompt_cache_key, previous_response_id) or by
its growing history.

It writes two files that only you can read. FILE.jsonl has a line for each call, written as soon as
the call has ended, so it is readable however the program ends. FILE.txtar is the scenario that
replays it. The files contain all texts, or, with -private, lengths and salted hashes from which no
text can be read. They contain no keys: a key from a header, a cookie or an address that also occurs
in a text is replaced there, and the summary says so.

The proxy never changes bodies and events. Of the headers it changes only the hop-by-hop ones
(Connection and the like) and Host. Ctrl-C ends it.`

const recordExamples = `  loadstone record -to http://127.0.0.1:8080         # a server of your own
  loadstone record -to https://api.anthropic.com -out monday
  ANTHROPIC_BASE_URL=http://127.0.0.1:8081 claude    # the agent, in another terminal
  OPENAI_BASE_URL=http://127.0.0.1:8081/v1 my-agent
  loadstone run monday.txtar -url http://127.0.0.1:8080
`

// recordOptions hold the command line of record.
type recordOptions struct {
	to       *url.URL
	addr     string
	out      string // both files, without their endings
	private  bool
	quiet    bool
	anywhere bool
}

func recordCommand(ctx context.Context, e *env, args []string) error {
	o, err := parseRecord(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	file, err := o.files()
	if err != nil {
		return err
	}
	defer file.Close()
	source := "loadstone record of " + o.to.Host
	if o.private {
		source = "loadstone record"
	}
	recorder, err := proxy.NewRecorder(file, proxy.Options{Source: source, Private: o.private})
	if err != nil {
		return err
	}
	err = o.serve(ctx, e, proxy.New(o.to, recorder), recorder)
	if failed := recorder.Close(); err == nil {
		err = failed
	}
	o.printSummary(e, recorder.Stats())
	return err
}

func parseRecord(e *env, args []string) (*recordOptions, error) {
	o := &recordOptions{}
	var to string
	f := flags("record", recordAbout, recordExamples, e.stdout)
	f.StringVar(&to, "to", "", "the server's `address`, such as https://api.openai.com")
	f.StringVar(&o.addr, "addr", "127.0.0.1:8081",
		"`address` to listen on; port 0 takes any free port")
	f.StringVar(&o.out, "out", "",
		"`file` to record to, without .jsonl; default: recording- and the time")
	f.BoolVar(&o.private, "private", false,
		"record lengths and salted hashes of blocks in place of texts")
	f.BoolVar(&o.anywhere, "allow-remote", false, "listen on an address that other machines reach")
	f.BoolVar(&o.quiet, "q", false, "no progress")
	if err := f.parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, usageError("unexpected argument %q; loadstone record -h shows examples",
			f.Arg(0))
	case to == "":
		return nil, usageError("want the server: loadstone record -to http://127.0.0.1:8080")
	}
	base, err := harness.BaseURL(to, true)
	if err != nil {
		return nil, usageError("-to: %w", err)
	}
	if o.to, err = url.Parse(base); err != nil {
		return nil, usageError("-to: %w", err)
	}
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return nil, usageError("-addr: %w; want such as 127.0.0.1:8081", err)
	}
	if !peer.Loopback(host) && !o.anywhere {
		return nil, usageError(
			"-addr: other machines can reach %s; add -allow-remote to record them", o.addr)
	}
	o.out = strings.TrimSuffix(o.out, ".jsonl")
	o.out = cmp.Or(o.out, "recording-"+time.Now().Format("20060102-150405"))
	return o, nil
}

// files creates both files. It returns an error rather than replace a file that exists.
func (o *recordOptions) files() (*os.File, error) {
	const flag = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	scenario, err := os.OpenFile(o.out+".txtar", flag, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, usageError("%s.txtar is there already; record to another -out", o.out)
	}
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(scenario, o.scenario())
	if err = errors.Join(err, scenario.Close()); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(o.out+".jsonl", flag, 0o600)
	if err != nil {
		os.Remove(o.out + ".txtar")
	}
	if errors.Is(err, os.ErrExist) {
		return nil, usageError("%s.jsonl is there already; record to another -out", o.out)
	}
	return file, err
}

// scenario returns the scenario file that replays the recording.
func (o *recordOptions) scenario() string {
	name := filepath.Base(o.out)
	return fmt.Sprintf(`Sessions recorded by loadstone record: loadstone run %s.txtar -url URL
Prompts are replayed as recorded, except that each conversation begins with a word that is new in
every run, so that caches begin cold. Answers have their recorded lengths if the server accepts
ignore_eos. loadstone help files lists every key.

-- load --
trace: %[1]s.jsonl
# salt: none               prompts exactly as recorded, byte for byte
# answer-length: asked     maximum lengths of answers as the agents asked for them
# answers: served          later prompts contain this server's own answers
# idle: 30s                maximum pause
# speed: 2                 pauses half as long
# concurrency: 4           number of sessions at a time, in place of their recorded arrival times
`, name)
}

// serve runs the proxy until the context ends.
func (o *recordOptions) serve(ctx context.Context, e *env, p http.Handler,
	recorder *proxy.Recorder) error {
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		return &exitError{exitUnreachable, err}
	}
	base := "http://" + listener.Addr().String()
	fmt.Fprintf(e.stdout, "listening on %s\n", base)
	if !o.quiet {
		fmt.Fprintf(e.stderr, "recording requests to %s in %s.jsonl; give agents the address %s\n"+
			"  ANTHROPIC_BASE_URL=%[3]s, OPENAI_BASE_URL=%[3]s/v1; Ctrl-C ends it\n",
			o.to.Host, o.out, base)
	}
	s := &http.Server{Handler: p, ReadHeaderTimeout: 30 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	stopped := o.progress(ctx, e, recorder)
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = nil
		// Answers in flight have some time to end. A second Ctrl-C does not wait for them.
		patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if s.Shutdown(patience) != nil {
			s.Close()
		}
	}
	<-stopped
	return err
}

// progress shows the counts so far: on a terminal a line that it rewrites every second, elsewhere a
// line every minute if the counts have changed.
func (o *recordOptions) progress(ctx context.Context, e *env, recorder *proxy.Recorder) (
	stopped chan struct{}) {
	stopped = make(chan struct{})
	if o.quiet {
		close(stopped)
		return stopped
	}
	redraw := terminal.Is(e.stderr)
	every := time.Minute
	if redraw {
		every = time.Second
	}
	go func() {
		defer close(stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		var last proxy.Stats
		for {
			select {
			case <-ctx.Done():
				if redraw && last != (proxy.Stats{}) {
					fmt.Fprintln(e.stderr)
				}
				return
			case <-tick.C:
			}
			now := recorder.Stats()
			switch {
			case now == last:
			case redraw:
				fmt.Fprintf(e.stderr, "\r\x1b[K%s", summaryLine(now))
			default:
				fmt.Fprintln(e.stderr, summaryLine(now))
			}
			last = now
		}
	}()
	return stopped
}

// summaryLine summarizes a recording in a line.
func summaryLine(s proxy.Stats) string {
	line := fmt.Sprintf("%s, %s, %d prompt tokens", table.Plural(s.Sessions, "session"),
		table.Plural(s.Calls, "call"), s.Prompt)
	if s.Prompt > 0 {
		line += fmt.Sprintf(" (%.0f %% cached)", 100*float64(s.Cached)/float64(s.Prompt))
	}
	line += fmt.Sprintf(", %d answer tokens", s.Output)
	if s.Unsent > 0 {
		line += fmt.Sprintf(", %d did not reach the server", s.Unsent)
	}
	if s.InFlight > 0 {
		line += fmt.Sprintf(", %d in flight", s.InFlight)
	}
	return line
}

// printSummary prints the summary.
func (o *recordOptions) printSummary(e *env, s proxy.Stats) {
	s.InFlight, s.Waiting = 0, 0
	fmt.Fprintln(e.stdout, summaryLine(s))
	note := func(n int, format string, args ...any) {
		if n > 0 {
			fmt.Fprintf(e.stdout, "  %d %s\n", n, fmt.Sprintf(format, args...))
		}
	}
	note(s.Unsent, "did not reach the server; the first because %s", s.WhyUnsent)
	note(s.Refused, "refused by the server, and not recorded")
	note(s.Broken, "broke off; recorded as far as the answer came")
	note(s.Unread, "not recorded; the first because %s", s.Why)
	note(s.Others, "on other routes, forwarded and not recorded")
	note(s.Orphans, "that continue an answer that was not recorded; each begins a session")
	note(s.Masked, "keys in texts, replaced by [key]")
	switch {
	case s.Calls == 0 && s.Unsent > 0:
		fmt.Fprintf(e.stdout, "nothing was recorded; is the server at %s running?\n", o.to.Host)
		return
	case s.Calls == 0:
		fmt.Fprintf(e.stdout, "nothing was recorded; did the agent use this address?\n")
		return
	}
	fmt.Fprintf(e.stdout, "in %s.jsonl; to replay it:\n  loadstone run %[1]s.txtar -url %s\n",
		o.out, replayAt(o.to))
}

// replayAt returns the address at which the summary suggests a replay: the recorded server's if
// that is on this machine.
func replayAt(to *url.URL) string {
	if base, err := harness.BaseURL(to.String(), false); err == nil {
		return base
	}
	return "http://127.0.0.1:8080"
}
