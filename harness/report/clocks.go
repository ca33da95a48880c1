package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"loadstone/harness"
)

// WriteAccessLog prints the latencies of a server's access log by route.
func WriteAccessLog(w io.Writer, log harness.AccessLog) error {
	routes := make([]harness.Route, 0, len(log.Routes))
	for r := range log.Routes {
		routes = append(routes, r)
	}
	slices.SortFunc(routes, func(a, b harness.Route) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Status, b.Status))
	})
	rows := [][]string{{"request", "status", "number", "p50", "p95", "p99", "max"}}
	for _, r := range routes {
		d := harness.Describe(slices.Clone(log.Routes[r]))
		rows = append(rows, []string{r.Method + " " + r.Path, fmt.Sprint(r.Status), fmt.Sprint(d.N),
			duration(d.P50), duration(d.P95), duration(d.P99), duration(d.Max)})
	}
	for _, line := range align(rows) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// Clocks sets what the client measured of its answered requests beside what the server did.
type Clocks struct {
	Client, Server, Log harness.Dist
	Network             harness.Dist // of single requests: client's less server's, both of the same request
	Agree               bool
	Why                 string // if they do not
}

// logRounding is what a line of the log may be off by: it has two decimals of a millisecond.
const logRounding = 10 * time.Microsecond

// CompareClocks compares the records with the server's access log of the same path. They agree when no request was
// shorter for the client than for the server, the log has as many requests as were answered, and its percentiles are
// within the network's share of the client's. A log of a longer time than the records', or one that others used as well,
// cannot agree: matching is by number and percentile, as a log line names no request.
func CompareClocks(records []harness.Record, log []time.Duration) Clocks {
	var client, server, network []time.Duration
	backwards := 0
	for i := range records {
		r := &records[i]
		if r.Outcome != harness.OK {
			continue
		}
		client = append(client, r.End-r.Sent)
		if r.Server.Total < 0 {
			continue
		}
		d := r.End - r.Sent - r.Server.Total
		if d < -logRounding {
			backwards++
		}
		server, network = append(server, r.Server.Total), append(network, d)
	}
	c := Clocks{Client: harness.Describe(client), Server: harness.Describe(server), Log: harness.Describe(slices.Clone(log)), Network: harness.Describe(network)}
	switch {
	case c.Client.N == 0:
		c.Why = "no record is of an answered request"
	case c.Log.N < c.Client.N:
		c.Why = fmt.Sprintf("the log has %d answered requests, the records %d", c.Log.N, c.Client.N)
	case backwards > 0:
		c.Why = fmt.Sprintf("%s took longer for the server than for the client", plural(backwards, "request"))
	case !within(c.Log.P50, c.Client.P50, c.Network) || !within(c.Log.P95, c.Client.P95, c.Network):
		c.Why = fmt.Sprintf("p50 and p95 differ by more than the network's share of at most %s", duration(c.Network.Max))
	default:
		c.Agree = true
	}
	return c
}

// within tells whether the server's percentile is below the client's by no more than the slowest network share. The
// warm-up requests in the log, which no record has, move a percentile by a little: a twentieth is allowed for them.
func within(server, client time.Duration, network harness.Dist) bool {
	slack := logRounding + client/20
	return server <= client+slack && client-server <= max(network.Max, 0)+slack
}

// Write prints the comparison.
func (c Clocks) Write(w io.Writer) error {
	row := func(name string, d harness.Dist) []string {
		return []string{name, fmt.Sprint(d.N), quantile(d, d.P50), quantile(d, d.P95), quantile(d, d.P99), quantile(d, d.Max)}
	}
	verdict := "they agree within the network's share"
	if !c.Agree {
		verdict = "they do NOT agree: " + c.Why
	}
	rows := [][]string{{"answered requests", "number", "p50", "p95", "p99", "max"}, row("client, sent to end", c.Client),
		row("server, by its headers", c.Server), row("server, by its log", c.Log), row("network, request by request", c.Network)}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	for _, line := range align(rows) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, "\n"+verdict)
	return err
}
