package record

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// AccessLog is what a server's access log says of its requests' latency, by method, path and status.
type AccessLog struct {
	Routes  map[Route][]time.Duration
	Skipped int // lines that are no access-log line; servers write other things beside them
}

// Route is one kind of request and how it was answered.
type Route struct {
	Method, Path string
	Status       int
}

func (r Route) String() string { return fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status) }

// Anything may stand before the line proper, such as a log library's date.
var accessLine = regexp.MustCompile(`REQUEST: ([A-Z]+) (\S+) STATUS: (\d{3}) LATENCY: ([0-9.]+)ms\s*$`)

// ReadAccessLog reads a log with lines like
//
//	REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.34ms
//
// where the latency is the server's own, from the request's head to the last byte of its answer.
func ReadAccessLog(r io.Reader) (AccessLog, error) {
	log := AccessLog{Routes: map[Route][]time.Duration{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		m := accessLine.FindSubmatch(lines.Bytes())
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
		log.Routes[route] = append(log.Routes[route], time.Duration(latency*float64(time.Millisecond)))
	}
	return log, lines.Err()
}
