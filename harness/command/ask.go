package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const askAbout = `Asks a server one question and prints the answer as it comes. The question is the arguments, or
standard input where there are none.`

const askExamples = `  loadstone serve &
  loadstone ask What is a loadstone?
  loadstone ask -v -agent alice -max-tokens 32 < question.txt
`

// question is the command line of ask.
type question struct {
	url, model, agent, system, text string
	maxTokens                       int
	temperature                     float64
	seed                            uint64
	whole, verbose, remote          bool
}

func ask(ctx context.Context, e *env, args []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	var q question
	f := flags("ask", askAbout, askExamples, e.stdout)
	f.StringVar(&q.url, "url", "http://127.0.0.1:8080", "the server's `address`")
	f.StringVar(&q.model, "model", "", "`name` of the model; default: the one the server serves")
	f.StringVar(&q.agent, "agent", "", "ask as this agent, whose `name` goes along as X-Agent-ID and whose cache the server keeps")
	f.StringVar(&q.system, "system", "", "system `message`")
	f.IntVar(&q.maxTokens, "max-tokens", 128, "longest answer")
	f.Float64Var(&q.temperature, "temperature", 0, "0 is greedy")
	f.Uint64Var(&q.seed, "seed", 1, "of the sampling")
	f.BoolVar(&q.whole, "no-stream", false, "ask for the answer in one piece")
	f.BoolVar(&q.verbose, "v", false, "print tokens and timing on standard error")
	f.BoolVar(&q.remote, "allow-remote", false, "allow an address that is not this machine's")
	if err := f.parse(args); err != nil {
		return err
	}
	q.text = strings.Join(f.Args(), " ")
	if q.text == "" {
		in, err := io.ReadAll(io.LimitReader(e.stdin, 16<<20))
		if err != nil {
			return err
		}
		q.text = string(bytes.TrimSpace(in))
	}
	if q.text == "" {
		return usageError("there is no question; loadstone ask -h shows examples")
	}
	base, err := checkURL(q.url, q.remote)
	if err != nil {
		return err
	}
	if q.model == "" {
		if q.model, err = servedModel(ctx, e, base, ""); err != nil {
			return err
		}
	}
	return q.send(ctx, e, base)
}

// chunk is an answer or a part of one.
type chunk struct {
	Choices []struct {
		Delta, Message struct{ Content string }
		Finish         string `json:"finish_reason"`
	}
	Usage *struct {
		Prompt  int `json:"prompt_tokens"`
		Output  int `json:"completion_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
	Error *struct{ Message string }
}

func (q *question) request(ctx context.Context, base string) (*http.Request, error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	var messages []message
	if q.system != "" {
		messages = append(messages, message{"system", q.system})
	}
	body := map[string]any{"model": q.model, "messages": append(messages, message{"user", q.text}),
		"max_tokens": q.maxTokens, "temperature": q.temperature, "seed": q.seed, "stream": !q.whole}
	if !q.whole {
		body["stream_options"] = map[string]any{"include_usage": true}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if q.agent != "" {
		req.Header.Set("X-Agent-ID", q.agent)
	}
	return req, nil
}

func (q *question) send(ctx context.Context, e *env, base string) error {
	req, err := q.request(ctx, base)
	if err != nil {
		return err
	}
	start := time.Now()
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		var u *url.Error
		if ctx.Err() == nil && errors.As(err, &u) {
			return &exitError{exitUnreachable, fmt.Errorf("%s does not answer: %w", base, u.Err)}
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		retry := ""
		if s := res.Header.Get("Retry-After"); s != "" {
			retry = " (retry after " + s + " s)"
		}
		return fmt.Errorf("the server refused: %d: %s%s", res.StatusCode, apiMessage(res, body), retry)
	}
	a := answer{w: e.stdout, start: start}
	if q.whole {
		err = a.whole(res.Body)
	} else {
		err = a.stream(res.Body)
	}
	fmt.Fprintln(e.stdout)
	if q.verbose {
		a.explain(e.stderr, res)
	}
	return err
}

// An answer prints itself and remembers when.
type answer struct {
	w            io.Writer
	start, first time.Time
	last         chunk
	finish       string
}

func (a *answer) stream(body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		if strings.TrimSpace(data) == "[DONE]" {
			_, err := io.Copy(io.Discard, body) // the trailers come after it
			return err
		}
		if err := a.take([]byte(data)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the stream broke: %w", err)
	}
	return errors.New("the stream ended before the answer did")
}

func (a *answer) whole(body io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(body, 64<<20))
	if err != nil {
		return err
	}
	return a.take(text)
}

func (a *answer) take(data []byte) error {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("the server sent what is no chunk: %w", err)
	}
	if c.Error != nil {
		return errors.New(c.Error.Message)
	}
	if c.Usage != nil {
		a.last.Usage = c.Usage
	}
	for _, choice := range c.Choices {
		if choice.Finish != "" {
			a.finish = choice.Finish
		}
		if text := choice.Delta.Content + choice.Message.Content; text != "" {
			if a.first.IsZero() {
				a.first = time.Now()
			}
			if _, err := io.WriteString(a.w, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain prints the figures of the answer, the client's and the server's.
func (a *answer) explain(w io.Writer, res *http.Response) {
	ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) + " ms" }
	if u := a.last.Usage; u != nil {
		fmt.Fprintf(w, "tokens: %d prompt, %d of them cached, %d answer (finish: %s)\n", u.Prompt, u.Details.Cached, u.Output, a.finish)
	}
	if !a.first.IsZero() {
		fmt.Fprintf(w, "client: first token after %s, end after %s\n", ms(a.first.Sub(a.start)), ms(time.Since(a.start)))
	}
	timing := res.Trailer.Get("Server-Timing")
	if timing == "" {
		timing = res.Header.Get("Server-Timing")
	}
	if timing != "" {
		fmt.Fprintf(w, "server: %s (ms)\n", strings.ReplaceAll(timing, ";dur=", " "))
	}
}
