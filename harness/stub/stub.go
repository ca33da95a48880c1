// Package stub has a server that computes nothing, and measures a client with it: what a client
// measures of such a server is the client's own error.
package stub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Server answers every chat request with max_tokens tokens and computes nothing. It sends the first
// token at once and each other an interval after the one before; at an interval of 0, as fast as
// they can be written. What a client measures of it is the client and the machine. The text of a
// token is the server's wall clock when it was written, in nanoseconds.
func Server(interval time.Duration) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /health/live", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"object":"list","data":[`+
			`{"id":"stub","object":"model","created":0,"owned_by":"loadstone"}]}`)
	})
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			MaxTokens           int `json:"max_tokens"`
			MaxCompletionTokens int `json:"max_completion_tokens"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, `{"error":{"message":"the body is not JSON"}}`, http.StatusBadRequest)
			return
		}
		tokens := max(1, min(max(body.MaxTokens, body.MaxCompletionTokens), 1<<20))
		answer(r.Context(), w, tokens, interval)
	})
	return mux
}

// answer writes one answer.
func answer(ctx context.Context, w http.ResponseWriter, tokens int, interval time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := w.(http.Flusher).Flush
	var line []byte
	send := func(finish string) {
		line = append(line[:0], `data: {"id":"chatcmpl-1","object":"chat.completion.chunk",`+
			`"created":1,"model":"stub","choices":[{"index":0,"delta":{"content":" `...)
		line = strconv.AppendInt(line, time.Now().UnixNano(), 10)
		line = append(line, `"},"finish_reason":`+finish+`}]}`+"\n\n"...)
		w.Write(line)
		flush()
	}
	start := time.Now()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for i := range tokens {
		if interval > 0 && i > 0 {
			wait.Reset(time.Until(start.Add(time.Duration(i) * interval)))
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
	fmt.Fprintf(w, `data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d,`+
		`"total_tokens":%d}}`+"\n\ndata: [DONE]\n\n", tokens, tokens+1)
}

// Serve runs the stub server at a TCP address until the context ends. It writes the line to w by
// which proc.Start finds the server. A program that is to be a stub server calls it.
func Serve(ctx context.Context, w io.Writer, addr string, interval time.Duration) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: Server(interval), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	fmt.Fprintf(w, "listening on http://%s\n", l.Addr())
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
