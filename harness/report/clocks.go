package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"loadstone/harness/accesslog"
	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// WriteAccessLog prints the latencies of a server's access log by route.
func WriteAccessLog(w io.Writer, log accesslog.Log) error {
	routes := make([]accesslog.Route, 0, len(log.Routes))
	for r := range log.Routes {
		routes = append(routes, r)
	}
	slices.SortFunc(routes, func(a, b accesslog.Route) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Status, b.Status))
	})
	rows := [][]string{{"request", "status", "number", "p50", "p95", "p99", "max"}}
	for _, r := range routes {
		d := stats.Describe(slices.Clone(log.Routes[r]))
		rows = append(rows, []string{r.Method + " " + r.Path, fmt.Sprint(r.Status), fmt.Sprint(d.N),
			Quantile(d, 0.50), Quantile(d, 0.95), Quantile(d, 0.99), maximum(d)})
	}
	for _, line := range table.Align(rows, 0) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// maximum prints the largest value, "–" when nothing was measured.
func maximum(d stats.Dist) string {
	if d.N == 0 {
		return "–"
	}
	return table.Duration(d.Max)
}

// Clocks are the times of the client's answered requests, as the client measured them and as the
// server did.
type Clocks struct {
	Client  stats.Dist // sent to end
	Server  stats.Dist // the same requests, by the headers of their answers
	Log     stats.Dist // the same, by their lines in the access log
	Network stats.Dist // client's less log's, request by request
	Others  int        // lines of the log without a record: of a warm-up, of other clients
	Agree   bool
	Why     string // they do not agree
}

// rounding is how far a time of the server may be off: headers and log have two decimals of a
// millisecond.
const rounding = 10 * time.Microsecond

// CompareClocks compares the records with the lines of their path in the server's access log. They
// agree when every answered request has a line of its own whose latency lies between what the
// answer's own header says, which is taken first, and what the client measured, which ends last: so
// the log differs from the client by no more than the network's share.
func CompareClocks(records []record.Record, log []time.Duration) Clocks {
	var client, server []time.Duration
	var spans []span
	silent, backwards := 0, 0
	for i := range records {
		r := &records[i]
		if r.Outcome != record.OK {
			continue
		}
		took := r.End - r.Sent
		client = append(client, took)
		switch total := r.Server.Total; {
		case total < 0:
			silent++
		case total > took+rounding:
			backwards++
		default:
			server = append(server, total)
			spans = append(spans, span{total - rounding, took + rounding})
		}
	}
	lines, network := match(spans, log)
	c := Clocks{Client: stats.Describe(client), Server: stats.Describe(server),
		Log:     stats.Describe(lines),
		Network: stats.Describe(network), Others: len(log) - len(lines)}
	switch missing := len(spans) - len(lines); {
	case c.Client.N == 0:
		c.Why = "no record is of an answered request"
	case silent > 0:
		c.Why = fmt.Sprintf("%s without the server's own time, which finds the line in the log",
			table.Plural(silent, "answer"))
	case backwards > 0:
		c.Why = fmt.Sprintf("%s took longer for the server than for the client",
			table.Plural(backwards, "request"))
	case missing > 0:
		c.Why = fmt.Sprintf("%d of %s without a line in the log between the server's header and "+
			"the client's time", missing, table.Plural(len(spans), "answered request"))
	default:
		c.Agree = true
	}
	return c
}

// match pairs spans with lines of the log. The line of a request must lie within the request's
// span, and a line belongs to one span alone. It makes as many pairs as possible and returns their
// lines, each with its distance from the end of its span. To take the lines in order and to give
// each to the open span that ends first is optimal (Glover 1967, matching in a convex bipartite
// graph).
func match(spans []span, log []time.Duration) (lines, distance []time.Duration) {
	spans, log = slices.Clone(spans), slices.Clone(log)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	slices.Sort(log)
	var open []span // by their ends
	for _, line := range log {
		for len(spans) > 0 && spans[0].from <= line {
			i, _ := slices.BinarySearchFunc(open, spans[0], func(a, b span) int {
				return cmp.Compare(a.to, b.to)
			})
			open, spans = slices.Insert(open, i, spans[0]), spans[1:]
		}
		for len(open) > 0 && open[0].to < line {
			open = open[1:]
		}
		if len(open) > 0 {
			lines, distance = append(lines, line),
				append(distance, max(0, open[0].to-rounding-line))
			open = open[1:]
		}
	}
	return lines, distance
}

// Write prints the comparison.
func (c Clocks) Write(w io.Writer) error {
	row := func(name string, d stats.Dist) []string {
		return []string{name, fmt.Sprint(d.N), Quantile(d, 0.50), Quantile(d, 0.95),
			Quantile(d, 0.99), maximum(d)}
	}
	rows := [][]string{{"answered requests", "number", "p50", "p95", "p99", "max"},
		row("client, sent to end", c.Client),
		row("server, by its headers", c.Server), row("server, by its log", c.Log),
		row("network and client", c.Network)}
	var b strings.Builder
	b.WriteString("\n")
	for _, line := range table.Align(rows, 0) {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n")
	if c.Others > 0 {
		fmt.Fprintf(&b, "%s of the log have no record: warm-up, or other clients\n",
			table.Plural(c.Others, "line"))
	}
	if c.Agree {
		b.WriteString("they agree within the network's share\n")
	} else {
		b.WriteString("they do NOT agree: " + c.Why + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
