package script

import (
	"context"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"loadstone/harness/proc"
)

// recordKey is the key of a script's recording proxy among its values.
type recordKey struct{}

// A recording is the recording proxy of a script, if it has started one.
type recording struct{ *proc.Process }

func (r *recording) close() {
	if r.Process != nil {
		r.Kill()
	}
}

// record starts a recording proxy before the script's server.
func record(ts *testscript.TestScript, neg bool, args []string) {
	r := ts.Value(recordKey{}).(*recording)
	if neg || len(args) == 0 || r.Process != nil {
		ts.Fatalf("usage: record FILE [FLAG...], once at a time")
	}
	log, err := os.Create(ts.MkAbs("record.log"))
	ts.Check(err)
	ts.Defer(func() { log.Close() })
	path, err := program(ts, "loadstone")
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	words := append([]string{"record", "-to", started(ts).URL, "-addr", "127.0.0.1:0",
		"-out", ts.MkAbs(args[0])}, args[1:]...)
	r.Process, err = proc.Start(ctx, log, path, words...)
	ts.Check(err)
	ts.Setenv("PROXY", r.URL)
}

// recorded ends the recording proxy with a signal and waits for its end.
func recorded(ts *testscript.TestScript, neg bool, args []string) {
	r := ts.Value(recordKey{}).(*recording)
	if neg || len(args) > 1 || r.Process == nil {
		ts.Fatalf("usage: recorded [TERM|INT|KILL], after record")
	}
	name := "INT"
	if len(args) == 1 {
		name = args[0]
	}
	ts.Check(r.Signal(signals[name]))
	select {
	case <-r.Exited():
	case <-time.After(time.Minute):
		ts.Fatalf("the recording still runs after a minute")
	}
	if got := r.ExitStatus(); name == "INT" && got != "0" {
		ts.Fatalf("the recording ended with %s", got)
	}
	r.Process = nil
}
