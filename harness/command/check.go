package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"loadstone/harness/audit"
	"loadstone/harness/client"
	"loadstone/harness/proc"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
	"loadstone/harness/verdict"
)

const checkAbout = `Checks that a server is right, not that it is fast. The same greedy conversations are held alone,
alone again, and all at once; then requests are cancelled midway; then the server is restarted and
the conversations go on:

  repeatable  alone, the same prompt gets the same answer, whatever the cache holds
  answered    under load every request is answered in full or refused cleanly (429, or 503 with
              Retry-After)
  identity    under load every answer is byte for byte the one given alone: text, reasoning and tool
              calls. Where no answer has a word, this is unknown. Where an answer is not the same,
              and the server reports log-probabilities, a near tie of two tokens is a variant of the
              batch. Where it reports none, an answer that it gives alone as well, to an agent that
              is new, is a variant, too. Any other difference is corruption
  recovery    after cancelled requests nothing is left in flight, and blocks, goroutines, files and
              memory are given back, as far as the server's /metrics say
  counters    the server's own counters rose by at least what its answers add up to
  solo        an agent alone gets its first token as quickly as before the load
  restart     after a restart the conversations go on with the same answers (of a server that was
              started here, not of one at -url). A variant is an answer that the server gives as
              well when an agent that is new sends the conversation's text
  leaks       no response contains another agent's secret, be it in the answer, reasoning, tool
              calls, errors or headers; each agent has one
  hits        a prompt that the server calls cached gets its first token sooner than a new one, also
              after a restart; where it does not, whether it was cached is unknown
  cache       no conversation finds more tokens in the cache than it left there itself
  tokens      the server's counts agree with what it sent, and no piece came twice
  times       no time is before that of an earlier event, and the server claims no more time than
              passed
  count       every request that was begun has ended and is on record, and Little's law holds

With -keys it checks that two principals of a server are kept apart:

  own         a principal finds the prefix that it has sent itself; without that, there is nothing
              to keep apart
  prefix      and not one that the other has sent, as the server's cached_tokens tell
  agents      the other's agents are like nobody's, on every route of /v1/agents
  stored      and so are its responses under /v1/responses
  metrics     what a principal may read of the server names no agent of the other's
  contents    no answer to one has a secret of the other
  timing      the time to the first token does not tell what the other has sent. Prompts that the
              other has and has not sent are asked in random order; the two are compared by a
              signed-rank test, which fails a server that keeps principals apart one time in a
              thousand, and by how many bits a thousand probes would tell, with an interval of 95 %

The server is this program itself as another process, with agents' memories that survive restarts,
or with -url any that has an API of OpenAI's or Anthropic's. Flags after -- are those of loadstone
serve.

` + ciHelp

const checkExamples = `  loadstone check
  loadstone check -model smollm2 -agents 16 -- -max-batch 4
  loadstone check -url http://127.0.0.1:8080
  loadstone check -url http://127.0.0.1:8080 -variants   fail for variants, too
  loadstone check -url http://127.0.0.1:8080 -keys alice.key,bob.key

Exit codes: 0 every check passes or cannot be made, 1 one fails, 2 wrong command line, 4 the server
cannot be reached or started, 130 interrupted.
`

// checkOptions are the command line of check.
type checkOptions struct {
	targetOptions
	audit    audit.Audit
	keys     keysOptions
	variants bool
	timeout  time.Duration
	ci       ciOptions
}

func checkCommand(ctx context.Context, e *env, args []string) error {
	o, err := parseCheck(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "loadstone-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := o.remember(filepath.Join(dir, "agents")); err != nil {
		return err
	}
	if o.serve, err = o.keys.accept(dir, o.serve); err != nil {
		return err
	}
	results, err := newResults(filepath.Join(dir, "server"))
	if err != nil {
		return err
	}
	defer results.closeLogs()
	s, err := findTarget(ctx, e, &o.targetOptions, results)
	if err != nil {
		return err
	}
	defer s.stop()
	if o.keys.a != "" {
		findings, err := o.isolate(ctx, e, s)
		return o.conclude(ctx, e, findings, err)
	}
	findings, err := o.auditTarget(ctx, e, s)
	return o.conclude(ctx, e, findings, err)
}

// auditTarget makes all checks of one principal.
func (o *checkOptions) auditTarget(ctx context.Context, e *env, s *target) ([]audit.Finding, error) {
	c := s.client()
	c.Timeout = o.timeout
	o.audit.Tokens = o.tokens
	defer c.Close()
	if s.process != nil {
		o.audit.Process = func() (proc.Usage, error) { return s.process.Usage() }
		o.audit.Restart = func(ctx context.Context) error {
			if err := s.restart(ctx); err != nil {
				return err
			}
			c.URL = s.system.URL
			return nil
		}
	}
	findings, err := o.run(ctx, e, c)
	if ctx.Err() == nil {
		tellNoMetrics(e, c)
	}
	return findings, err
}

// conclude prints what was found, and returns an error where a check fails or none could be made.
func (o *checkOptions) conclude(ctx context.Context, e *env, findings []audit.Finding,
	err error) error {
	if ctx.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	if printErr := o.print(e.stdout, findings); printErr != nil {
		return errors.Join(err, printErr)
	}
	if err != nil {
		return err
	}
	return o.ci.conclude(ctx, e, o.verdict(findings), o.judge(findings))
}

// verdict is what was found, for the forms of CI.
func (o *checkOptions) verdict(findings []audit.Finding) *verdict.Verdict {
	s := verdict.Section{Title: "checks", Columns: []string{"", "check", "verdict", "what"}}
	for _, f := range findings {
		c := verdict.Case{Name: string(f.Name), Cells: []string{string(f.Verdict)}, Text: f.About,
			State: verdict.Good}
		switch {
		case o.fails(&f):
			c.State = verdict.Bad
		case f.Verdict == audit.Unknown:
			c.State = verdict.Open
		}
		for _, v := range f.Violations {
			c.Details = append(c.Details, fmt.Sprint(v))
		}
		s.Cases = append(s.Cases, c)
	}
	return &verdict.Verdict{Name: "check", Sections: []verdict.Section{s}}
}

// remember gives a server that is started here a folder for its agents' memories, which must
// survive its restart, unless its flags name one.
func (o *checkOptions) remember(memories string) error {
	has := slices.ContainsFunc(o.serve, func(flag string) bool {
		return strings.HasPrefix(strings.TrimLeft(flag, "-"), "agents-dir")
	})
	if o.url != "" || has {
		return nil
	}
	o.serve = append([]string{"-agents-dir", memories}, o.serve...)
	return os.Mkdir(memories, 0o700)
}

// run carries the audit out and shows its progress.
func (o *checkOptions) run(ctx context.Context, e *env, c *client.Client) ([]audit.Finding, error) {
	if !o.quiet {
		steps := newSteps(e.stderr, c)
		o.audit.OnStep = steps.next
		defer steps.watch()()
	}
	return o.audit.Run(ctx, c)
}

// fails reports whether check fails for a finding.
func (o *checkOptions) fails(f *audit.Finding) bool {
	return f.Verdict == audit.Broken || f.Verdict == audit.Variant && o.variants
}

// judge returns an error where checks fail.
func (o *checkOptions) judge(findings []audit.Finding) error {
	failed := 0
	for _, f := range findings {
		if o.fails(&f) {
			failed++
		}
	}
	if failed > 0 {
		err := fmt.Errorf("check: %d of %d checks fail", failed, len(findings))
		return &exitError{exitFailed, err}
	}
	return nil
}

func parseCheck(e *env, args []string) (*checkOptions, error) {
	o := &checkOptions{}
	f := flags("check", checkAbout, checkExamples, e.stdout)
	o.flags(f, "check")
	f.IntVar(&o.audit.Agents, "agents", 8, "conversations at once")
	f.IntVar(&o.audit.Turns, "turns", 3, "turns of each")
	promptTokens := f.Int("prompt-tokens", 64, "tokens of an agent's first prompt, roughly")
	f.IntVar(&o.audit.MaxTokens, "max-tokens", 24, "max tokens of an answer")
	f.IntVar(&o.audit.Aborts, "aborts", 40, "requests that are cancelled midway")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "longest that an answer may take")
	o.keys.flags(f)
	o.ci.flags(f)
	f.Uint64Var(&o.audit.Seed, "seed", 1,
		"of the prompts; with -url the default is another one each time")
	f.BoolVar(&o.variants, "variants", false,
		"fail for variants as well: answers that differ, but are not corrupt")
	var set map[string]bool
	var err error
	if o.serve, set, err = f.parseBeforeServe(args, 0); err != nil {
		return nil, err
	}
	for name, v := range map[string]int{
		"agents": o.audit.Agents, "turns": o.audit.Turns, "aborts": o.audit.Aborts} {
		if v < 1 || v > 1000 {
			return nil, usageError("-%s is %d; want 1 to 1000", name, v)
		}
	}
	for name, v := range map[string]int{
		"prompt-tokens": *promptTokens, "max-tokens": o.audit.MaxTokens} {
		if v < 1 {
			return nil, usageError("-%s is %d; want at least 1", name, v)
		}
	}
	o.audit.Words = max(1, *promptTokens*3/4)
	if err := o.keys.read(); err != nil {
		return nil, err
	}
	if o.keys.a != "" {
		if set["key-file"] {
			return nil, usageError("-keys and -key-file both name keys")
		}
		o.access.given = o.keys.a
	}
	if o.url != "" && !set["seed"] {
		o.audit.Seed = uint64(time.Now().UnixMilli())
	}
	return o, o.settle(f, set, len(o.serve) > 0)
}

// verdictStyles are how a terminal shows verdicts. All have one length, or the table's columns
// would not align.
var verdictStyles = map[audit.Judgement]table.Style{
	audit.Passed:  table.BoldGreen,
	audit.Broken:  table.BoldRed,
	audit.Unknown: table.DimWhite,
	audit.Variant: table.BoldYellow,
}

// print prints the findings as a table, or as JSON.
func (o *checkOptions) print(w io.Writer, findings []audit.Finding) error {
	if o.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(findings)
	}
	color := terminal.Color(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		verdict := string(f.Verdict)
		if color {
			verdict = verdictStyles[f.Verdict].Text(verdict)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, verdict, f.About)
		for i, v := range f.Violations {
			if i == 5 {
				fmt.Fprintf(t, "\t\t... and %d more\n", len(f.Violations)-i)
				break
			}
			if len(f.Violations) > 1 {
				fmt.Fprintf(t, "\t\t%s\n", v)
			}
		}
	}
	return t.Flush()
}
