package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/record"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
)

const askAbout = `Asks a server one question and prints the answer as it arrives. The question is the arguments,
or standard input where there are none.`

const askExamples = `  loadstone serve &
  loadstone ask What is a loadstone?
  loadstone ask -v -agent alice -max-tokens 32 < question.txt
`

// question is the command line of ask.
type question struct {
	url, model, system, text string
	prompt                   client.Prompt
	verbose, remote          bool
	target                   harness.Target
}

func ask(ctx context.Context, e *env, args []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	q, err := parseAsk(e, args)
	if err != nil {
		return err
	}
	if q.model == "" {
		q.model, err = servedModel(ctx, e, &q.target, "")
	} else {
		err = chooseAPI(ctx, &q.target)
	}
	if err != nil {
		return err
	}
	return q.send(ctx, e)
}

func parseAsk(e *env, args []string) (*question, error) {
	q := &question{}
	f := flags("ask", askAbout, askExamples, e.stdout)
	f.StringVar(&q.url, "url", "http://127.0.0.1:8080", "the server's `address`")
	f.StringVar(&q.model, "model", "",
		"`name` of the model; default: the one that the server serves")
	f.StringVar(&q.prompt.Agent, "agent", "",
		"ask as this agent: its `name` is sent as X-Agent-ID, and the server keeps its cache")
	f.StringVar(&q.system, "system", "", "system `message`")
	f.IntVar(&q.prompt.MaxTokens, "max-tokens", 128, "longest answer")
	f.Float64Var(&q.prompt.Temperature, "temperature", 0, "0 is greedy")
	f.Uint64Var(&q.prompt.Seed, "seed", 1, "of the sampling; 0 lets the server decide")
	f.BoolVar(&q.prompt.NoStream, "no-stream", false, "ask for the answer in one piece")
	f.BoolVar(&q.verbose, "v", false, "print tokens and timing on standard error")
	f.BoolVar(&q.remote, "allow-remote", false, "allow an address that is not this machine's")
	var access accessOptions
	access.flags(f)
	if err := f.parseLeading(args); err != nil {
		return nil, err
	}
	q.text = strings.Join(f.Args(), " ")
	if q.text == "" {
		in, err := io.ReadAll(io.LimitReader(e.stdin, 16<<20))
		if err != nil {
			return nil, err
		}
		q.text = string(bytes.TrimSpace(in))
	}
	if q.text == "" {
		return nil, usageError("there is no question; loadstone ask -h shows examples")
	}
	var err error
	if q.url, err = checkURL(q.url, q.remote); err != nil {
		return nil, err
	}
	q.target, err = access.target(q.url, nil)
	return q, err
}

// send asks the question and prints the answer.
func (q *question) send(ctx context.Context, e *env) error {
	c := q.target.NewClient(q.url)
	defer c.Close()
	c.Model, c.Timeout = q.model, client.NoTimeout
	if q.system != "" {
		q.prompt.Messages = []client.Message{{Role: "system", Content: q.system}}
	}
	q.prompt.Messages = append(q.prompt.Messages, client.Message{Role: "user", Content: q.text})

	printing, cancel := context.WithCancel(ctx)
	defer cancel()
	var unprinted error
	show := terminal.Is(e.stdout)
	q.prompt.OnPiece = func(text string) {
		if show { // a terminal would obey what a server sends
			text = table.Plain(text)
		}
		if _, err := io.WriteString(e.stdout, text); err != nil && unprinted == nil {
			unprinted = err
			cancel() // nobody reads the rest
		}
	}
	r := c.Ask(printing, c.Since(), q.prompt)
	if r.Status == 200 && unprinted == nil {
		_, unprinted = fmt.Fprintln(e.stdout)
	}
	if q.verbose && r.Status == 200 {
		explain(e.stderr, &r)
	}
	if unprinted != nil {
		return unprinted
	}
	return failure(ctx, c, &r)
}

// failure is the error of a request that was not answered in full.
func failure(ctx context.Context, c *client.Client, r *record.Record) error {
	switch {
	case r.Outcome == record.OK:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case r.Outcome == record.Refused:
		return unreachable(&client.UnreachableError{URL: c.URL, Err: errors.New(r.Error)})
	case r.Outcome == record.Truncated:
		return fmt.Errorf("the stream ended before the answer did: %s", r.Error)
	case r.RetryAfter > 0:
		return fmt.Errorf("the server refused: %s (retry after %.0f s)", r.Error,
			r.RetryAfter.Seconds())
	case r.Status == 401 || r.Status == 403:
		return hint(&harness.NoAnswerError{Status: r.Status, Reason: r.Error})
	case r.Status != 200:
		return fmt.Errorf("the server refused: %s", r.Error)
	}
	return errors.New(r.Error)
}

// explain prints the figures of the answer, the client's and the server's.
func explain(w io.Writer, r *record.Record) {
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	if r.PromptTokens >= 0 {
		fmt.Fprintf(w, "tokens: %d prompt, %d of them cached, %d answer (finish: %s)\n",
			r.PromptTokens, max(r.CachedTokens, 0), r.OutputTokens, r.Finish)
	}
	if first := r.TTFT(); first >= 0 {
		fmt.Fprintf(w, "client: first token after %.1f ms, end after %.1f ms\n",
			ms(first), ms(r.Latency()))
	}
	var parts []string
	for _, part := range []struct {
		name string
		took time.Duration
	}{{"queue", r.Server.Queue}, {"prefill", r.Server.Prefill}, {"decode", r.Server.Decode}} {
		if part.took >= 0 {
			parts = append(parts, fmt.Sprintf("%s %.2f", part.name, ms(part.took)))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "server: %s (ms)\n", strings.Join(parts, ", "))
	}
}
