// Package script runs end-to-end flows against inference servers that are written as testscript
// files: text archives (.txtar) whose comment is a script. Beside testscript's own commands (exec,
// stdout, grep, cmp, ...) a script has
//
//	serve [FLAG...]            start loadstone serve with the embedded model, and wait until it is ready
//	serve PROGRAM [ARG...]     start a server of your own, see proc.Start; $URL and $ADDR are its address
//	ready [URL]                wait until the server at URL, or $URL, takes work
//	signal NAME                send the server TERM, INT or KILL
//	stopped STATUS             wait until the server has ended, with this exit status; killed for a signal
//	metric NAME OP N           compare one of the server's metrics, waiting up to a minute until it holds; OP is == < > <= >=
//	ask [FLAG...] QUESTION     ask the server one question; stdout then looks at the answer
//	run [FLAG...] FILE         put the load of a scenario file on the server
//	bench [FLAG...]            measure the server
//	check [FLAG...]            check that its answers are right under load, and nobody else's
//	gate [FLAG...]             decide whether a server got worse
//	record FILE [FLAG...]      record to FILE.jsonl what is asked at $PROXY, which passes it on to the server
//	recorded [NAME]            end that with a signal, INT where none is named, and wait for its end
//
// of which ask, run, bench and check are the commands of that name of loadstone with -url $URL. The
// program loadstone itself can be run by exec, and so can http METHOD URL [-H 'K: V']... [FILE],
// which shows what is on the wire.
package script

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"loadstone/harness/client"
	"loadstone/harness/command"
	"loadstone/harness/proc"
)

// Main is for a TestMain: it runs the tests with the programs that scripts can exec, and does not
// return. programs are the caller's own, such as the server under test; they are functions that end
// the process themselves or by returning.
func Main(m *testing.M, programs map[string]func()) {
	// loadstone starts itself again as a server, by the name it has: this test binary, which must
	// then not run the tests.
	if len(os.Args) > 1 && command.Known(os.Args[1]) {
		command.Main()
		return
	}
	all := map[string]func(){"loadstone": command.Main, "http": func() { os.Exit(httpProgram()) }}
	for name, program := range programs {
		all[name] = func() {
			proc.FollowParent()
			program()
		}
	}
	testscript.Main(m, all)
}

// Run runs the scripts of a folder, each as a test of its own. A server that a script has started
// ends with it.
func Run(t *testing.T, dir string) { testscript.Run(t, Params(testscript.Params{Dir: dir})) }

// Params adds this package's commands to those of a testscript.
func Params(p testscript.Params) testscript.Params {
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		s := &server{}
		env.Values[serverKey{}] = s
		env.Defer(s.close)
		r := &recording{}
		env.Values[recordKey{}] = r
		env.Defer(r.close)
		if setup != nil {
			return setup(env)
		}
		return nil
	}
	commands := map[string]func(*testscript.TestScript, bool, []string){
		"serve": serve, "ready": ready, "signal": signal, "stopped": stopped, "metric": metric,
		"ask": loadstone("ask"), "run": loadstone("run"), "bench": loadstone("bench"),
		"check": loadstone("check"), "gate": gate,
		"record": record, "recorded": recorded,
	}
	for name, c := range p.Cmds {
		commands[name] = c
	}
	p.Cmds = commands
	return p
}

// serverKey is where a script's server is kept.
type serverKey struct{}

// server is the server that a script has started.
type server struct {
	*proc.Process
	client *client.Client
}

func (s *server) close() {
	if s.Process != nil {
		s.client.Close()
		s.Kill()
	}
}

func started(ts *testscript.TestScript) *server {
	s := ts.Value(serverKey{}).(*server)
	if s.Process == nil {
		ts.Fatalf("no server runs; the script needs serve first")
	}
	return s
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*server)
	if neg || s.Process != nil {
		ts.Fatalf("usage: serve [PROGRAM] [ARG...], once")
	}
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	ts.Defer(func() { log.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	words := append([]string{"loadstone", "serve", "-addr", "127.0.0.1:0"}, args...)
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		words = args
	}
	path, err := program(ts, words[0])
	ts.Check(err)
	s.Process, err = proc.Start(ctx, log, path, words[1:]...)
	ts.Check(err)
	s.client = client.New(s.URL)
	ts.Setenv("URL", s.URL)
	ts.Setenv("ADDR", strings.TrimPrefix(s.URL, "http://"))
}

// program finds a program on the script's own path.
func program(ts *testscript.TestScript, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return ts.MkAbs(name), nil
	}
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in the script's PATH", name)
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: ready [URL]")
	}
	url := ts.Getenv("URL")
	if len(args) == 1 {
		url = args[0]
	}
	c := client.New(url)
	defer c.Close()
	for limit := time.Now().Add(time.Minute); !c.Ready(context.Background()); {
		if time.Now().After(limit) {
			ts.Fatalf("%s is not ready after a minute", url)
		}
		time.Sleep(20 * time.Millisecond) // the other side is another process
	}
}

var signals = map[string]syscall.Signal{
	"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}

func signal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal TERM|INT|KILL")
	}
	ts.Check(started(ts).Signal(signals[args[0]]))
}

func stopped(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stopped STATUS")
	}
	s := started(ts)
	select {
	case <-s.Exited():
	case <-time.After(time.Minute):
		ts.Fatalf("the server still runs after a minute")
	}
	if got := s.ExitStatus(); got != args[0] {
		ts.Fatalf("the server ended with %s, want %s", got, args[0])
	}
}

func metric(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: metric NAME OP NUMBER")
	}
	name, labels := splitMetric(args[0])
	var want float64
	_, err := fmt.Sscan(args[2], &want)
	ts.Check(err)
	for limit := time.Now().Add(time.Minute); ; {
		m, err := started(ts).client.Scrape(context.Background())
		got := m.Value(name, labels...)
		if err == nil && holds(got, args[1], want) {
			return
		}
		if time.Now().After(limit) {
			ts.Check(err)
			ts.Fatalf("%s is %g, want %s %g", args[0], got, args[1], want)
		}
		time.Sleep(5 * time.Millisecond) // the other side is another process
	}
}

// splitMetric splits NAME{label="value",...}.
func splitMetric(s string) (name string, labels []string) {
	name, _, _ = strings.Cut(s, "{")
	for _, m := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(s, -1) {
		labels = append(labels, m[1], m[2])
	}
	return name, labels
}

func holds(a float64, op string, b float64) bool {
	switch op {
	case "==":
		return a == b
	case "<":
		return a < b
	case ">":
		return a > b
	case "<=":
		return a <= b
	case ">=":
		return a >= b
	}
	return false
}

// loadstone is a command of loadstone on the script's server.
func loadstone(name string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		url := ts.Getenv("URL")
		if url == "" {
			ts.Fatalf("no server runs; the script needs serve first, or env URL=ADDRESS")
		}
		execute(ts, neg, append([]string{name, "-url", url}, args...))
	}
}

func gate(ts *testscript.TestScript, neg bool, args []string) {
	execute(ts, neg, append([]string{"gate"}, args...))
}

// execute runs loadstone; stdout and stderr of the script then look at what it printed.
func execute(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("loadstone", args...)
	switch {
	case err != nil && !neg:
		ts.Fatalf("loadstone %s: %v", strings.Join(args, " "), err)
	case err == nil && neg:
		ts.Fatalf("loadstone %s succeeds, and is to fail", strings.Join(args, " "))
	}
}
