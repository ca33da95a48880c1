package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"loadstone/harness/liars"
	"loadstone/harness/liars/score"
	"loadstone/harness/table"
)

const liarsAbout = `Lists servers that lie in one way each, such as one that sends an empty first
chunk at once, or one that hides errors behind status 200: what each does, and what a truthful load
tool reports of it. With -serve it is one of them, for any load tool to measure:

  GET  /liar/truth    the truth in JSON: the figures that a tool should have, and every request
  POST /liar/restart  from now on it behaves as a server that was restarted

With -judge it holds what a tool reports to that truth. FILE is JSON, with the figures that the tool
reports and what it says in words to be wrong:

  {"tool": "a tool", "figures": {"p50-ttft": 0.163, "error-ratio": 0}, "alarms": ["..."]}

The verdict is truth, fooled, or mute: the tool has no figure and no words for what the lie is
about.
With -score this program puts itself before all of them: it measures each as loadstone run does,
checks it as loadstone check does, and has itself judged. The truthful server is among them, about
which any alarm is false.`

const liarsExamples = `  loadstone liars
  loadstone liars -json                                  what is expected, for programs
  loadstone liars -serve role-first-chunk -addr 127.0.0.1:8099
  loadstone liars -judge claims.json -truth truth.json
  loadstone liars -score                                 two minutes, mostly waiting
  loadstone liars -score -liar truthful,merged-tokens

Exit codes: 0 done, and -score finds the truth about all; 1 it does not, or it went wrong; 2 wrong
command line; 4 -serve cannot listen; 130 interrupted.
`

// liarsOptions are the command line of liars.
type liarsOptions struct {
	serve, addr  string
	judge, truth string
	score, json  bool
	chosen       []*liars.Liar
	parallel     int
	scale        float64
	seed         uint64
}

func liarsCommand(ctx context.Context, e *env, args []string) error {
	o, err := parseLiars(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	switch {
	case o.serve != "":
		return o.beLiar(ctx, e)
	case o.judge != "":
		return o.judgeClaims(e)
	case o.score:
		return o.scoreSelf(ctx, e)
	case o.json:
		return printJSON(e.stdout, o.chosen)
	}
	return printLiars(e.stdout, o.chosen)
}

func parseLiars(e *env, args []string) (*liarsOptions, error) {
	o := &liarsOptions{}
	f := flags("liars", liarsAbout, liarsExamples, e.stdout)
	f.StringVar(&o.serve, "serve", "",
		"be the liar of this `name`; truthful is the server that tells no lie")
	f.StringVar(&o.addr, "addr", "127.0.0.1:0", "`address` for -serve to listen on")
	f.StringVar(&o.judge, "judge", "", "judge what a tool reports, in this JSON `file`")
	f.StringVar(&o.truth, "truth", "", "with -judge: the `file` with the answer of /liar/truth")
	f.BoolVar(&o.score, "score", false, "score this program against the liars")
	names := f.String("liar", "",
		"`names` of liars to list or to score against, separated by commas; default: all")
	f.IntVar(&o.parallel, "parallel", 8, "with -score: liars at once")
	f.Float64Var(&o.scale, "scale", 1, "`factor` by which all times of the servers are multiplied")
	f.Uint64Var(&o.seed, "seed", 1, "with -serve: of the answers")
	f.BoolVar(&o.json, "json", false, "print JSON")
	if err := f.parse(args); err != nil {
		return nil, err
	}
	modes := 0
	for _, on := range []bool{o.serve != "", o.judge != "", o.score} {
		if on {
			modes++
		}
	}
	switch {
	case f.NArg() > 0:
		return nil, usageError("unexpected argument %q; loadstone liars -h lists the flags", f.Arg(0))
	case modes > 1:
		return nil, usageError("-serve, -judge and -score are three things; want one of them")
	case (o.judge == "") != (o.truth == ""):
		return nil, usageError("-judge and -truth go together")
	case o.scale <= 0 || o.scale > 100:
		return nil, usageError("-scale is %g; want more than 0, and 100 at most", o.scale)
	case o.parallel < 1:
		return nil, usageError("-parallel is %d; want at least 1", o.parallel)
	}
	var err error
	if o.chosen, err = liars.Select(commas(*names)); err == nil && o.serve != "" {
		_, err = liars.Find(o.serve)
	}
	if err != nil {
		return nil, usageError("%w", err)
	}
	return o, nil
}

// beLiar serves until it is interrupted.
func (o *liarsOptions) beLiar(ctx context.Context, e *env) error {
	l, err := liars.Find(o.serve)
	if err != nil {
		return err
	}
	s := l.Server(liars.Options{Scale: o.scale, Seed: o.seed})
	if err := s.Serve(ctx, e.stdout, o.addr); err != nil {
		return &exitError{exitUnreachable, err}
	}
	return nil
}

// judgeClaims judges a tool by two files.
func (o *liarsOptions) judgeClaims(e *env) error {
	var c liars.Claims
	var t liars.Truth
	for name, into := range map[string]any{o.judge: &c, o.truth: &t} {
		text, err := os.ReadFile(name)
		if err != nil {
			return usageError("%w", err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			return usageError("%s: %w", name, err)
		}
	}
	l, err := liars.Find(t.Liar)
	if err != nil {
		return usageError("%s: %w", o.truth, err)
	}
	j := l.Judge(c, t)
	if o.json {
		return printJSON(e.stdout, j)
	}
	_, err = fmt.Fprintln(e.stdout, judgement(j))
	return err
}

// scoreSelf scores this program.
func (o *liarsOptions) scoreSelf(ctx context.Context, e *env) error {
	done := 0
	s, err := score.Run(ctx, o.chosen, score.Options{Scale: o.scale, Parallel: o.parallel,
		OnJudged: func(j liars.Judgement) {
			done++
			fmt.Fprintf(e.stderr, "%d of %d: %s %s\n", done, len(o.chosen), j.Liar, j.Verdict)
		}})
	if ctx.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	if err != nil {
		return err
	}
	if o.json {
		err = printJSON(e.stdout, s)
	} else {
		for _, j := range s.Judgements {
			fmt.Fprintln(e.stdout, judgement(j))
		}
		_, err = fmt.Fprintln(e.stdout, s)
	}
	if err == nil && s.Truth < s.Liars || s.FalseAlarms > 0 {
		err = &exitError{exitFailed, fmt.Errorf("liars: %s", s)}
	}
	return err
}

// judgement is one in a line.
func judgement(j liars.Judgement) string {
	var reasons []string
	for _, r := range j.Reasons {
		reasons = append(reasons, table.Clip(table.OneLine(r), 160))
	}
	return fmt.Sprintf("%-18s %-7s %s", j.Liar, j.Verdict, strings.Join(reasons, "; "))
}

func printLiars(w io.Writer, all []*liars.Liar) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range all {
		fmt.Fprintf(t, "%s\t%s\n\t  truthful: %s\n", l.Name, l.Lie, l.Truth)
	}
	return t.Flush()
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
