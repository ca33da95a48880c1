package world

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	// The guest is built by a command that go test does not see. Imported, what it is made of
	// decides with the test whether a result in go test's cache is still good.
	_ "loadstone/engine/ref"
	_ "loadstone/internal/files/filestest"
	"loadstone/internal/world/script"
	_ "loadstone/server"
)

var (
	seeds      = flag.Int("seeds", 25, "how many seeds TestSeeds plays")
	first      = flag.Uint64("first", 1, "the first of them")
	atMost     = flag.Duration("for", 0, "how long it may play; 0: until all seeds are done")
	scriptFile = flag.String("script", "", "a file with an episode for TestScript")
	overlay    = flag.String("overlay", "", "a file for go build -overlay, for the guest")
	env        = flag.String("env", "", "variables of the guest, KEY=VALUE,KEY=VALUE")
	keepGoing  = flag.Bool("all", false, "play all seeds though some fail")
	logs       = flag.Bool("logs", false, "have TestLogs print a hash of each seed's log")
	native     = flag.Bool("native", false, "run the guest as a process, where it can be one")
	workDir    = flag.String("dir", "", "a folder with the program that Open has made there before")
)

var guest = sync.OnceValues(func() (*Guest, error) {
	files, err := filepath.Glob("guest/*.go") // as above
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if _, err := os.ReadFile(f); err != nil {
			return nil, err
		}
	}
	if *native && !Processes() {
		*native = false
		fmt.Fprintf(os.Stderr, "world: the guest is no process on %s/%s: -native plays the same "+
			"seeds in WebAssembly, which is slower\n", runtime.GOOS, runtime.GOARCH)
	}
	began := time.Now()
	b := Build{Overlay: *overlay, Native: *native, Progress: func(s string) {
		fmt.Fprintf(os.Stderr, "world: %4.1f s: %s\n", time.Since(began).Seconds(), s)
	}}
	if *env != "" {
		b.Env = strings.Split(*env, ",")
	}
	return Open(context.Background(), *workDir, b)
})

func TestMain(m *testing.M) {
	flag.Parse()
	made := ""
	if *workDir == "" {
		dir, err := os.MkdirTemp("", "world")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		*workDir, made = dir, dir
	}
	code := m.Run()
	if made != "" {
		os.RemoveAll(made)
	}
	os.Exit(code)
}

func openGuest(t *testing.T) *Guest {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds and compiles a program, for half a minute")
	}
	g, err := guest()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A finding is an episode that fails.
type finding struct {
	seed uint64
	Result
}

// TestSeeds plays the episodes of many seeds.
func TestSeeds(t *testing.T) {
	g := openGuest(t)
	var (
		mu     sync.Mutex
		total  Counts
		found  []finding
		next   atomic.Uint64
		failed atomic.Bool
		all    sync.WaitGroup
	)
	began, shown := time.Now(), time.Now()
	next.Store(*first)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !failed.Load() {
				seed := next.Add(1) - 1
				if seed >= *first+uint64(*seeds) || *atMost > 0 && time.Since(began) > *atMost {
					return
				}
				r, err := g.Run(t.Context(), script.Draw(seed))
				mu.Lock()
				switch {
				case err != nil:
					t.Errorf("seed %d: %v", seed, err)
					failed.Store(true)
				case r.Invariant != "":
					found = append(found, finding{seed, r})
					failed.Store(!*keepGoing)
				}
				total.Add(r.Counts)
				if time.Since(shown) > 10*time.Second {
					shown = time.Now()
					fmt.Fprintf(os.Stderr, "world: %4.0f s: %d of %d seeds, up to %d; %d failed\n",
						time.Since(began).Seconds(), total.Episodes, *seeds, seed, len(found))
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	t.Logf("%d seeds in %.1f s, %.1f ms each: %.1f hours, %d requests, %d answers, %d steps, "+
		"%d faults, %d restarts, %d disk calls", total.Episodes, took.Seconds(),
		took.Seconds()*1000/float64(max(total.Episodes, 1)), total.Time.Hours(), total.Requests,
		total.Answers, total.Steps, total.Faults, total.Restarts, total.DiskCalls)
	if len(found) == 0 {
		fmt.Printf("world: first=%d seeds=%d failed=none\n", *first, total.Episodes)
		return
	}
	slices.SortFunc(found, func(a, b finding) int { return cmp.Compare(a.seed, b.seed) })
	for _, f := range found {
		fmt.Printf("world: first=%d seeds=%d failed=%d invariant=%s reason=%q\n", *first,
			f.seed-*first+1, f.seed, f.Invariant, f.Reason)
	}
	report(t, g, found[0])
}

// report shrinks an episode that fails and says how to play it again.
func report(t *testing.T, g *Guest, f finding) {
	s := g.Shrink(t.Context(), script.Draw(f.seed), f.Invariant, 300)
	r, err := g.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Errorf("seed %d: %s: %s\nShrunk it is this script, which -script FILE plays:\n%s\n"+
		"and fails so: %s: %s\n%s", f.seed, f.Invariant, f.Reason, s, r.Invariant, r.Reason,
		lastLines(r.Log, 40))
}

// lastLines returns the last lines of a log, each cut to a width.
func lastLines(log []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(log), "\n"), "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, l := range lines {
		lines[i] = l[:min(len(l), 300)]
	}
	return strings.Join(lines, "\n")
}

// TestScript plays the episode of a file and shows its log.
func TestScript(t *testing.T) {
	if *scriptFile == "" {
		t.Skip("no -script FILE")
	}
	f, err := os.Open(*scriptFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := script.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openGuest(t).Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.Write(r.Log)
	if r.Invariant != "" {
		t.Errorf("%s: %s", r.Invariant, r.Reason)
	}
}

// TestScriptForm: a script that is written and read is the same.
func TestScriptForm(t *testing.T) {
	for seed := range uint64(50) {
		s := script.Draw(seed)
		again, err := script.Parse(strings.NewReader(s.String()))
		if err != nil || again.String() != s.String() {
			t.Fatalf("%v\n%s\n%s", err, s, again)
		}
	}
}

// TestReplay: the same seed gives the same log, byte for byte, in another instance and in wazero's
// interpreter, which has nothing in common with the machine code of its compiler; with -native in
// another process.
func TestReplay(t *testing.T) {
	g := openGuest(t)
	var other *Guest
	var err error
	if *native {
		other, err = openNative(g.path, Build{})
	} else {
		other, err = open(t.Context(), g.Code, "", Build{Interpreter: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for seed := range uint64(4) {
		s, guests := script.Draw(seed), []*Guest{g, g}
		if *native {
			guests = append(guests, other)
		} else if seed == 0 {
			s.Actions = s.Actions[:4] // the interpreter is slow
			guests = append(guests, other)
		}
		var logs [][]byte
		for _, g := range guests {
			r, err := g.Run(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			logs = append(logs, r.Log)
		}
		for _, l := range logs[1:] {
			if !bytes.Equal(logs[0], l) {
				t.Fatalf("seed %d has two logs: %s", seed, difference(logs[0], l))
			}
		}
	}
}

// TestNative: a seed has the same log, byte for byte, as a process and as WebAssembly.
func TestNative(t *testing.T) {
	if !*native {
		t.Skip("no -native: it builds another program")
	}
	g := openGuest(t)
	if !*native {
		t.Skip("the guest is no process here")
	}
	other, err := Open(t.Context(), *workDir, Build{Overlay: *overlay, Env: g.env})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for seed := *first; seed < *first+uint64(min(*seeds, 30)); seed++ {
		var logs [2][]byte
		for i, g := range []*Guest{g, other} {
			r, err := g.Run(t.Context(), script.Draw(seed))
			if err != nil {
				t.Fatal(err)
			}
			logs[i] = r.Log
		}
		if !bytes.Equal(logs[0], logs[1]) {
			t.Errorf("seed %d has two logs: %s", seed, difference(logs[0], logs[1]))
		}
	}
}

// TestOtherRuntime: where Go's runtime is not the one that package world changes, it says so.
func TestOtherRuntime(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "src", changes[0].file)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"package runtime\n", changes[0].from + changes[0].from} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := wasm.changeRuntime(root, t.TempDir(), map[string]string{})
		if err == nil || !strings.Contains(err.Error(), "this version of Go has another runtime") ||
			!strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestCrash: a panic in the guest is a finding, with its reason.
func TestCrash(t *testing.T) {
	// Only an agent can ask this API.
	s, err := script.Parse(strings.NewReader("seed 1\nworld\n0s ann/-x turn api=generate\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := openGuest(t).Run(t.Context(), s)
	if err != nil || r.Invariant != "crash" || !strings.Contains(r.Reason, "nil pointer") {
		t.Errorf("%v, %s: %s", err, r.Invariant, r.Reason)
	}
}

// TestLogs prints a hash of each log, to be held to that of another machine.
func TestLogs(t *testing.T) {
	if !*logs {
		t.Skip("no -logs")
	}
	for _, line := range hashes(t, openGuest(t), *seeds) {
		fmt.Println(line)
	}
}

// hashes returns a line for each of the first n seeds, with a hash of its log.
func hashes(t *testing.T, g *Guest, n int) (lines []string) {
	t.Helper()
	for seed := *first; seed < *first+uint64(n); seed++ {
		r, err := g.Run(t.Context(), script.Draw(seed))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("world: seed=%d log=%x", seed, sha256.Sum256(r.Log)))
	}
	return lines
}

// TestProcesses: the same seed gives the same log in another process, with another number of
// threads.
func TestProcesses(t *testing.T) {
	g := openGuest(t)
	const n = 6
	args := []string{"-test.run=^TestLogs$", "-logs", fmt.Sprintf("-seeds=%d", n),
		fmt.Sprintf("-first=%d", *first), "-dir=" + *workDir, fmt.Sprintf("-native=%v", *native)}
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", runtime.GOMAXPROCS(0)%2+1))
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range hashes(t, g, n) {
		if !strings.Contains(string(out), line+"\n") {
			t.Errorf("another process does not say %q:\n%s", line, out)
		}
	}
}

// difference returns the first lines that differ.
func difference(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %q and %q", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}
