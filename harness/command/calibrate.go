package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"loadstone/harness/proc"
	"loadstone/harness/stub"
)

const calibrateAbout = `Measures the load generator itself. A stub server, which computes nothing, runs as another process
on this machine, and what the client measures of it is the client's own error. For each number of
streams at once it prints

  ttft   time to first token of a server whose first token takes no time: p50 and p99
  first  from when the server wrote the first token to the client's stamp of it, which is the
         client's error in a TTFT: p50
  late   the same of every token: p50 and p99
  lag    from when a request was due to when it was sent: p99
  cpu    processor time of the client, a request

bench and gate do the same before a measurement, at their scenarios' numbers of streams. run does it
afterwards, with the densest second of the load as it really was. They call a measurement invalid
that the client's own error could explain. With -serve this command is the stub server, so that
other load generators can be measured with it.`

const calibrateExamples = `  loadstone calibrate
  loadstone calibrate -streams 32 -tokens 64 -every 0
  loadstone calibrate -serve -addr 127.0.0.1:8099

Exit codes: 0 measured, 1 it went wrong, 2 wrong command line, 4 the server cannot be started, 130
interrupted.
`

func calibrateCommand(ctx context.Context, e *env, args []string) error {
	f := flags("calibrate", calibrateAbout, calibrateExamples, e.stdout)
	streams := f.String("streams", "1,8,32", "`numbers` of streams at once, separated by commas")
	tokens := f.Int("tokens", 64, "tokens of an answer")
	interval := f.Duration("every", 5*time.Millisecond,
		"between two tokens; 0 is as fast as they can be written")
	duration := f.Duration("time", time.Second, "of the measurement at each number of streams")
	asJSON := f.Bool("json", false, "print JSON")
	serve := f.Bool("serve", false, "be the stub server, which computes nothing")
	addr := f.String("addr", "127.0.0.1:0", "`address` for -serve to listen on")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usageError("unexpected argument %q; loadstone calibrate -h lists the flags",
			f.Arg(0))
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	if *serve {
		if err := stub.Serve(ctx, e.stdout, *addr, *interval); err != nil {
			return &exitError{exitUnreachable, err}
		}
		return nil
	}
	counts, err := streamCounts(*streams)
	if err != nil {
		return err
	}
	if *tokens < 1 || *duration <= 0 || *interval < 0 {
		return usageError("-tokens, -time and -every must be more than 0 (-every may be 0)")
	}
	all, err := stub.Calibrate(ctx, startStub, counts, *tokens, *interval, *duration)
	if ctx.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	if err != nil {
		return err
	}
	if *asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	return printCalibrations(e.stdout, all)
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

func printCalibrations(w io.Writer, all []stub.Calibration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "streams\trequests\tttft p50\tp99\tfirst p50\tlate p50\tp99\tlag p99\t"+
		"cpu a request\t")
	for _, c := range all {
		fmt.Fprintf(t, "%d\t%d", c.Streams, c.Requests)
		for _, d := range []time.Duration{
			c.TTFT, c.TTFT99, c.First, c.Late, c.Late99, c.Lag99, c.CPU} {
			fmt.Fprintf(t, "\t%.3f ms", d.Seconds()*1e3)
		}
		fmt.Fprintln(t, "\t")
	}
	return t.Flush()
}

// startStub starts this program again, as a stub server.
func startStub(ctx context.Context, interval time.Duration) (*proc.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := proc.Start(ctx, io.Discard, self, "calibrate", "-serve", "-every", interval.String())
	if err != nil {
		err = fmt.Errorf("the stub server did not start: %w", err)
		return nil, &exitError{exitUnreachable, err}
	}
	return p, nil
}
