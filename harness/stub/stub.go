// Package stub is a server that computes nothing, and what a client measures of it: the client's own error bar.
package stub

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
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
