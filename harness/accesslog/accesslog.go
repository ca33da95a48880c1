// Package accesslog reads a server's access log: its own word on how long each request took, for a
// comparison with what a client measured of the same requests.
package accesslog

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// A Log is the latencies of an access log by method, path and status.
type Log struct {
	Routes  map[Route][]time.Duration
	Skipped int // lines of another form; servers write other things to the same file
}

// A Route is one kind of request and how it was answered.
type Route struct {
	Method, Path string
	Status       int // of HTTP
}

// String is such as "POST /v1/chat/completions 200".
func (r Route) String() string { return fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status) }

// line is an access-log line. Anything may stand before it, such as a log library's date.
var line = regexp.MustCompile(
	`REQUEST: ([A-Z]+) (\S+) STATUS: (\d{3}) LATENCY: ([0-9.]+)ms\s*$`)

// Read reads a log with lines like
//
//	REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.34ms
//
// where the latency is what the server measured, from the request's head to the last byte of its
// answer.
func Read(r io.Reader) (Log, error) {
	log := Log{Routes: map[Route][]time.Duration{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		m := line.FindSubmatch(lines.Bytes())
		if m == nil {
			log.Skipped++
			continue
		}
		status, _ := strconv.Atoi(string(m[3]))
		latency, err := strconv.ParseFloat(string(m[4]), 64)
		if err != nil {
			log.Skipped++
			continue
		}
		route := Route{string(m[1]), string(m[2]), status}
		took := time.Duration(latency * float64(time.Millisecond))
		log.Routes[route] = append(log.Routes[route], took)
	}
	return log, lines.Err()
}
