// Package null is a server that computes nothing, and what a client measures of it: the client's own error bar.
package null

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

// Server answers every chat request with max_tokens tokens, the first at once and each other so long after the one
// before, and computes nothing: what a client measures of it is the client and the machine. A token's text is the server's
// wall clock when it was written, in nanoseconds.
func Server(every time.Duration) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /health/live", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"object":"list","data":[{"id":"null","object":"model","created":0,"owned_by":"loadstone"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			MaxTokens           int `json:"max_tokens"`
			MaxCompletionTokens int `json:"max_completion_tokens"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, `{"error":{"message":"the body is no JSON"}}`, http.StatusBadRequest)
			return
		}
		null(r.Context(), w, max(1, min(max(body.MaxTokens, body.MaxCompletionTokens), 1<<20)), every)
	})
	return mux
}

// null writes one answer.
func null(ctx context.Context, w http.ResponseWriter, tokens int, every time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := w.(http.Flusher).Flush
	var line []byte
	send := func(finish string) {
		line = append(line[:0], `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"null","choices":[{"index":0,"delta":{"content":" `...)
		line = strconv.AppendInt(line, time.Now().UnixNano(), 10)
		line = append(line, `"},"finish_reason":`+finish+`}]}`+"\n\n"...)
		w.Write(line)
		flush()
	}
	start := time.Now()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for i := range tokens {
		if every > 0 && i > 0 {
			wait.Reset(time.Until(start.Add(time.Duration(i) * every)))
			select {
			case <-wait.C:
			case <-ctx.Done():
				return
			}
		}
		if i < tokens-1 {
			send("null")
		} else {
			send(`"length"`)
		}
	}
	fmt.Fprintf(w, `data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d,"total_tokens":%d}}`+"\n\ndata: [DONE]\n\n", tokens, tokens+1)
}

// A Floor is what the client measures where there is nothing to measure: its own error bar on this machine, at a number of
// streams. The null server's own share of a request, and loopback's, are in it, so it is an upper bound.
type Floor struct {
	Streams  int `json:"streams"`
	Requests int `json:"requests"`

	TTFT    time.Duration `json:"p50_ttft_ns"` // of a server whose first token takes no time
	TTFT99  time.Duration `json:"p99_ttft_ns"`
	First   time.Duration `json:"p50_first_ns"` // the first token's stamp after the server wrote it: the client's error in a TTFT
	Late    time.Duration `json:"p50_late_ns"`  // the same of every token
	Late99  time.Duration `json:"p99_late_ns"`
	Lag99   time.Duration `json:"p99_lag_ns"`
	Process time.Duration `json:"cpu_ns"` // processor time of the client, a request
}

// Measure asks a null server, with so many streams at once, each of so many tokens, over and over for a time. The server
// must run on the same host, as a process of its own, for its clock and its processor time to be told from the client's.
func Measure(ctx context.Context, c *client.Client, streams, tokens int, during time.Duration) (Floor, error) {
	var mu sync.Mutex
	var ttft, first, late, lag stats.Durations
	var failure error
	f := Floor{Streams: streams}
	origin := c.Began().UnixNano()
	before := proc.OwnCPU()
	for began := c.Since(); c.Since()-began < during && failure == nil && ctx.Err() == nil; {
		due := c.Since()
		var requests sync.WaitGroup
		for range streams {
			requests.Go(func() {
				r := c.Ask(ctx, due, client.Prompt{Messages: []client.Message{{Role: "user", Content: "hi"}}, MaxTokens: tokens})
				mu.Lock()
				defer mu.Unlock()
				f.Requests++
				written := strings.Fields(r.Answer)
				if r.Outcome != record.OK || len(written) != len(r.Chunks) || len(written) != tokens {
					failure = fmt.Errorf("%s is no null server: %s, %d of %d tokens %s", c.URL, r.Outcome, len(r.Chunks), tokens, r.Error)
					return
				}
				ttft.Add(r.TTFT())
				lag.Add(r.Sent - r.Due)
				for i, text := range written {
					if at, err := strconv.ParseInt(text, 10, 64); err == nil {
						after := max(0, time.Duration(origin+int64(r.Chunks[i])-at))
						late.Add(after)
						if i == 0 {
							first.Add(after)
						}
					}
				}
			})
		}
		requests.Wait()
	}
	if failure == nil {
		failure = ctx.Err()
	}
	if f.Requests > 0 {
		f.Process = (proc.OwnCPU() - before) / time.Duration(f.Requests)
	}
	t, l := ttft.Dist(), late.Dist()
	f.TTFT, f.TTFT99, f.First, f.Late, f.Late99, f.Lag99 = t.P50, t.P99, first.Dist().P50, l.P50, l.P99, lag.Dist().P99
	return f, failure
}

// Doubts are the reasons for which a run is invalid: what it shows may be the client's doing. floor is that of as many
// streams, the zero Floor where it was not measured; busy is the part of the machine's processors that the client itself
// took, 0 unknown.
func Doubts(s record.Summary, floor Floor, busy float64) []string {
	var why []string
	first := s.TTFT.P50
	if !stats.Supports(s.TTFT.N, 0.50) || first == stats.Never || first <= 0 {
		return nil // nothing is claimed that could be doubted
	}
	lag, name := s.Lag.Highest()
	if tail, _ := s.TTFT.Highest(); lag > lagLeast && float64(lag) > lagLimit*float64(tail) {
		why = append(why, fmt.Sprintf("the client sent too late: %s of its lag, %v, is %.0f %% of the first token's", name, lag.Round(time.Microsecond), 100*float64(lag)/float64(tail)))
	}
	if share := float64(floor.TTFT) / float64(first); share > floorLimit {
		why = append(why, fmt.Sprintf("a server that takes no time measures %v to the first token at %d streams, %.0f %% of the median here", floor.TTFT.Round(time.Microsecond), floor.Streams, 100*share))
	}
	if busy > busyLimit {
		why = append(why, fmt.Sprintf("the client's processors were saturated: it used %.0f %% of %d", 100*busy, runtime.GOMAXPROCS(0)))
	}
	return why
}

// The limits of Doubts. Of a percentile's latency the client may have made what the same percentile of its lag is, and no
// more: five requests in 500 that were late say nothing of the median. A lag of less than half a millisecond is nobody's
// business.
const (
	lagLimit   = 0.10
	lagLeast   = 500 * time.Microsecond
	floorLimit = 0.25
	busyLimit  = 0.80
)
