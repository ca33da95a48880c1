package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/stub"
)

const calibrateAbout = `Measures the load generator itself: a server that computes nothing runs as another process on this machine, and what the
client measures of it is the client's own error bar. For each number of streams at once it prints

  ttft   time to first token of a server whose first token takes no time: p50 and p99
  first  from the first token's being written by the server to its stamp in the client, the error of a TTFT: p50
  late   the same of every token: p50 and p99
  lag    from a request's being due to its being sent: p99
  cpu    processor time of the client, a request

bench and gate do the same before a measurement, at their scenarios' numbers of streams, and run after it, with the
densest second of the load as it really was. They call a measurement invalid that the client could explain. With -serve it is
that server, for other load generators to be measured with.`

const calibrateExamples = `  loadstone calibrate
  loadstone calibrate -streams 32 -tokens 64 -every 0
  loadstone calibrate -serve -addr 127.0.0.1:8099

Exit codes: 0 measured, 1 it went wrong, 2 wrong command line, 4 the server cannot be started, 130 interrupted.
`

func calibrateCommand(ctx context.Context, e *env, args []string) error {
	f := flags("calibrate", calibrateAbout, calibrateExamples, e.stdout)
	streams := f.String("streams", "1,8,32", "`numbers` of streams at once, separated by commas")
	tokens := f.Int("tokens", 64, "tokens of an answer")
	every := f.Duration("every", 5*time.Millisecond, "between two tokens; 0 as fast as they can be written")
	during := f.Duration("time", time.Second, "to measure for, at each number of streams")
	asJSON := f.Bool("json", false, "print JSON")
	serve := f.Bool("serve", false, "be the server that computes nothing")
	addr := f.String("addr", "127.0.0.1:0", "`address` for -serve to listen on")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usageError("unexpected argument %q; loadstone calibrate -h lists the flags", f.Arg(0))
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	if *serve {
		return serveNull(ctx, e.stdout, *addr, *every)
	}
	levels, err := streamCounts(*streams)
	if err != nil {
		return err
	}
	if *tokens < 1 || *during <= 0 || *every < 0 {
		return usageError("-tokens, -time and -every must be more than 0 (-every may be 0)")
	}
	floors, err := measureFloors(ctx, levels, *tokens, *every, *during)
	if ctx.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	if err != nil {
		return err
	}
	if *asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(floors)
	}
	return printFloors(e.stdout, floors)
}

// streamCounts reads -streams.
func streamCounts(list string) ([]int, error) {
	var counts []int
	for _, text := range commas(list) {
		n := 0
		if _, err := fmt.Sscan(text, &n); err != nil || n < 1 || n > 4096 {
			return nil, usageError("-streams %s: want numbers from 1 to 4096", list)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

func printFloors(w io.Writer, floors []stub.Floor) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "streams\trequests\tttft p50\tp99\tfirst p50\tlate p50\tp99\tlag p99\tcpu a request\t")
	for _, l := range floors {
		fmt.Fprintf(t, "%d\t%d", l.Streams, l.Requests)
		for _, d := range []time.Duration{l.TTFT, l.TTFT99, l.First, l.Late, l.Late99, l.Lag99, l.Process} {
			fmt.Fprintf(t, "\t%.3f ms", d.Seconds()*1e3)
		}
		fmt.Fprintln(t, "\t")
	}
	return t.Flush()
}

// startNull starts a null server as a process of its own.
func startNull(ctx context.Context, every time.Duration) (*proc.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := proc.Start(ctx, io.Discard, self, "calibrate", "-serve", "-every", every.String())
	if err != nil {
		return nil, &exitError{exitUnreachable, fmt.Errorf("the server that computes nothing did not start: %w", err)}
	}
	return p, nil
}

// echo measures the client alone under a piece of the load that the records are of; false where there is none.
func echo(ctx context.Context, level load.Level, records []record.Record) (f stub.Floor, ok bool, err error) {
	e, ok := stub.NewEcho(records)
	if !ok {
		return f, false, nil
	}
	p, err := startNull(ctx, e.Every)
	if err != nil {
		return f, false, err
	}
	defer p.Kill()
	c := client.New(p.URL)
	defer c.Close()
	if _, err := stub.Measure(ctx, c, record.MaxInFlight(records), 1, 1); err != nil { // and warm
		return f, false, err
	}
	f, err = e.Measure(ctx, c)
	f.Level = level
	return f, err == nil, err
}

// measureFloors measures the client's floors against a null server that runs for as long as that takes.
func measureFloors(ctx context.Context, levels []int, tokens int, every, during time.Duration) ([]stub.Floor, error) {
	p, err := startNull(ctx, every)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	var floors []stub.Floor
	for _, n := range levels {
		c := client.New(p.URL)                       // for each its own, or connections that others opened would flatter it
		_, err := stub.Measure(ctx, c, n, tokens, 1) // and warm
		if err != nil {
			return nil, err
		}
		floor, err := stub.Measure(ctx, c, n, tokens, during)
		c.Close()
		if err != nil {
			return nil, err
		}
		floors = append(floors, floor)
	}
	return floors, nil
}

func serveNull(ctx context.Context, w io.Writer, addr string, every time.Duration) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return &exitError{exitUnreachable, err}
	}
	s := &http.Server{Handler: stub.Server(every), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	fmt.Fprintf(w, "listening on http://%s\n", l.Addr())
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
