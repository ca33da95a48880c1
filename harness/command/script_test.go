package command

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/metal"
)

var update = flag.Bool("update-scripts", false, "rewrite the golden files inside the scripts")

// The scripts of testdata/script run this command and this one only: the test binary is loadstone, and http, a small
// client that shows what is on the wire. Commands that run in this process start this program again as a server, by the name
// it has: the test binary, which must then not run the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && findCommand(os.Args[1]) != nil {
		Main()
		return
	}
	testscript.Main(m, map[string]func(){"loadstone": Main, "http": func() { os.Exit(httpCommand()) }})
}

// TestScript runs testdata/script/*.txtar, the end-to-end tests, and the example scenarios, which are scripts as well. Beside testscript's own commands they have
//
//	serve [FLAG...]   start loadstone serve with the embedded model; $URL and $ADDR are its address when it is ready
//	signal NAME       send the server TERM, INT or KILL
//	stopped STATUS    wait until the server has ended, with this exit status; killed for a signal
//	metric NAME OP N  compare one of the server's metrics, waiting up to 10 s until it holds; OP is == < > <= >=
//
// and the condition [mlx]. http METHOD URL [-H 'K: V'...] [FILE] is a program, so that it can run in the background.
func TestScript(t *testing.T) { runScripts(t, "script") }

func TestScenarios(t *testing.T) { runScripts(t, "scenarios") }

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", dir),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			s := &scriptServer{}
			env.Values[serverKey{}] = s
			env.Defer(s.close)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "mlx" {
				return metal.Available, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": scriptServe, "signal": scriptSignal, "stopped": scriptStopped, "metric": scriptMetric,
		},
	})
}

// serverKey is where a script's server is kept.
type serverKey struct{}

type scriptServer struct {
	*proc.Process
	client *client.Client
}

func (s *scriptServer) close() {
	if s.Process != nil {
		s.client.Close()
		s.Kill()
	}
}

func server(ts *testscript.TestScript) *scriptServer {
	s := ts.Value(serverKey{}).(*scriptServer)
	if s.Process == nil {
		ts.Fatalf("no server runs; the script needs serve first")
	}
	return s
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*scriptServer)
	if neg || s.Process != nil {
		ts.Fatalf("usage: serve [FLAG...], once")
	}
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	ts.Defer(func() { log.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path, err := program(ts, "loadstone")
	ts.Check(err)
	s.Process, err = proc.Start(ctx, log, path, append([]string{"serve", "-addr", "127.0.0.1:0"}, args...)...)
	ts.Check(err)
	s.client = client.New(s.URL)
	ts.Setenv("URL", s.URL)
	ts.Setenv("ADDR", strings.TrimPrefix(s.URL, "http://"))
}

// program finds a program on the script's own path.
func program(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in the script's PATH", name)
}

func scriptSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	if neg || len(args) != 1 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal TERM|INT|KILL")
	}
	ts.Check(server(ts).Signal(signals[args[0]]))
}

func scriptStopped(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stopped STATUS")
	}
	s := server(ts)
	select {
	case <-s.Exited():
	case <-time.After(time.Minute):
		ts.Fatalf("the server still runs after a minute")
	}
	if got := s.ExitStatus(); got != args[0] {
		ts.Fatalf("the server ended with %s, want %s", got, args[0])
	}
}

func scriptMetric(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: metric NAME OP NUMBER")
	}
	name, labels := splitMetric(args[0])
	var want float64
	_, err := fmt.Sscan(args[2], &want)
	ts.Check(err)
	var got float64
	for limit := time.Now().Add(10 * time.Second); ; {
		m, err := server(ts).client.Scrape(context.Background())
		ts.Check(err)
		got = m.Value(name, labels...)
		if compare(got, args[1], want) {
			return
		}
		if time.Now().After(limit) {
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

func compare(a float64, op string, b float64) bool {
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

// httpCommand is http METHOD URL [-H 'K: V']... [FILE]: it sends FILE as the body and writes the answer as it is on the
// wire, trailers last. Header names are as Go writes them.
func httpCommand() int {
	method, url, rest := os.Args[1], os.Args[2], os.Args[3:]
	header := http.Header{"Content-Type": {"application/json"}}
	var body []byte
	for len(rest) > 0 {
		if rest[0] == "-H" {
			k, v, _ := strings.Cut(rest[1], ":")
			header.Set(k, strings.TrimSpace(v))
			rest = rest[2:]
			continue
		}
		var err error
		if body, err = os.ReadFile(rest[0]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		rest = rest[1:]
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	res.Header.Write(os.Stdout)
	fmt.Println()
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println()
	res.Trailer.Write(os.Stdout)
	return 0
}
