package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"loadstone/harness/accesslog"
	"loadstone/harness/metrics"
	"loadstone/harness/record"
	"loadstone/harness/report"
)

const logsAbout = `Reads a server's access log, lines such as

  REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.34ms

and prints the latencies by route and status. With -records it compares the server's latencies with
the client's own measurement of the same requests: they must agree within what the network and the
client take. FILE may be - for standard input.`

const logsExamples = `  loadstone serve -access-log access.log
  loadstone logs access.log
  loadstone logs -records results/records.jsonl results/access.log
`

// answered are the times of requests that a question was answered to, on any route.
func answered(log accesslog.Log) (times []time.Duration) {
	for _, path := range metrics.AskedRoutes {
		route := accesslog.Route{Method: http.MethodPost, Path: path, Status: http.StatusOK}
		times = append(times, log.Routes[route]...)
	}
	return times
}

func logs(ctx context.Context, e *env, args []string) error {
	f := flags("logs", logsAbout, logsExamples, e.stdout)
	recordsFile := f.String("records", "", "the `file` records.jsonl that the client wrote")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return usageError("want one access log; loadstone logs -h shows examples")
	}
	log, err := readLog(e, f.Arg(0))
	if err != nil {
		return err
	}
	if err := report.WriteAccessLog(e.stdout, log); err != nil {
		return err
	}
	if *recordsFile == "" {
		return nil
	}
	records, err := readRecords(*recordsFile)
	if err != nil {
		return err
	}
	c := report.CompareClocks(records, answered(log))
	if err := c.Write(e.stdout); err != nil {
		return err
	}
	if !c.Agree {
		return fmt.Errorf("the server's log and the client's records do not agree: %s", c.Why)
	}
	return nil
}

func readLog(e *env, name string) (accesslog.Log, error) {
	var in io.Reader = e.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return accesslog.Log{}, err
		}
		defer f.Close()
		in = f
	}
	log, err := accesslog.Read(in)
	if err == nil && len(log.Routes) == 0 {
		err = fmt.Errorf("%s has no access-log line among its %d; one looks like: "+
			"REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.34ms", name, log.Skipped)
	}
	return log, err
}

func readRecords(name string) ([]record.Record, error) { return readLines(name, record.Read) }

func readLines[T any](name string, read func(io.Reader) ([]T, error)) ([]T, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	values, err := read(f)
	if err != nil {
		return values, fmt.Errorf("%s: %w", name, err)
	}
	return values, nil
}
