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
	"time"

	"loadstone/engine/catalog"
	"loadstone/harness"
	"loadstone/harness/bisect"
	"loadstone/harness/figure"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
)

const bisectAbout = `Finds the commit at which a server got worse, on a machine whose measurements are noisy, within a
budget of minutes. It builds commits in git worktrees of their own and measures each against the
good build, in turns (A B B A), by one figure of one scenario: -unit and -scenario, such as the cell
that a red gate shows.

No single measurement decides. What is kept is how probable it is of every commit that it is the
one, and the next commit to be measured, or measured again, is the one that is expected to tell the
most for each second that it costs, its build included. Noise is estimated on the way: within a
session, from session to session, and between builds that do the same. That nothing has changed,
that there were several changes, or that every commit made it a little worse, is among the
hypotheses. A commit is named when it is as probable as -confidence says, and both it and the commit
before it were measured twice. Where commits between cannot be built, all of them are named.

Merges are followed along their first parents. Commits whose builds are the same program, bit for
bit, as a change of a document leaves it, are not measured.

-build is run by sh in a worktree and leaves the program at $OUT; the default builds loadstone.
-start serves: a command, run in the worktree after exec, that prints "listening on URL" when its
port is open. The default is $OUT serve with a free port, -model, -backend and the flags after --.
Builds run the code of those commits: bisect only what you would run.

-out keeps what was measured. Given once more, with the same ends and load, the search goes on from
there.`

const bisectExamples = `  loadstone bisect -good v1.2 -bad HEAD
  loadstone bisect -good v1.2 -bad main -scenario single-cold -unit p50-ttft -budget 3h -out hunt
  loadstone bisect -good HEAD~40 -bad HEAD -model smollm2 \
      -build 'go build -tags mlx -o $OUT ./harness/cmd/loadstone'
  loadstone bisect -repo ../server -good v3 -bad v4 -build 'make && cp bin/server $OUT' \
      -start '$OUT -port 0'

What it prints in the end:

  3f0c71b2a9 is where p50-e2e of chat got worse, with probability 98 %: +5.9 % (+5.1 … +6.7 %)
    engine: check each block twice
  14 sessions of 9 builds in 31 min; a build differs by 0.9 % from session to session

Exit codes: 0 the commits are named, 1 it went wrong in the middle, 2 wrong command line or
revisions, 3 the bad commit is no worse than the good one, or no single commit made it so, 4 the
good or the bad commit cannot be built or started, 5 the budget was too small: it says what remains
likely, and how much more would do, 130 interrupted; the same is said.
`

// defaultBuild builds this program's server. Nothing in it says where it was built, so that commits
// that change no code are one program.
const defaultBuild = `go build -trimpath -buildvcs=false -o "$OUT" ./harness/cmd/loadstone`

// bisectOptions are the command line of bisect.
type bisectOptions struct {
	bench                      benchOptions
	good, bad, repo            string
	build, start, unit, out    string
	budget                     time.Duration
	effect, confidence         float64
	rounds                     int
	figure                     figure.Figure
	commits                    []bisect.Commit
	builds                     *bisect.Builds
	effectText, confidenceText string
	journal                    bisectJournal
}

// A bisectJournal is what -out keeps: which search it is, and its sessions.
type bisectJournal struct {
	Good     string           `json:"good"`
	Bad      string           `json:"bad"`
	Measured string           `json:"measured"` // what was asked, and of which builds
	Sessions []journalSession `json:"sessions"`
}

type journalSession struct {
	Commit string    `json:"commit"`
	Ratios []float64 `json:"ratios"` // logarithms, a round each
}

func bisectCommand(ctx context.Context, e *env, args []string) error {
	o, err := parseBisect(e, args)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	if o.commits, err = bisect.History(ctx, o.repo, o.good, o.bad); err != nil {
		var revision *bisect.RevisionError
		if errors.As(err, &revision) {
			return usageError("bisect: %w", err)
		}
		return err
	}
	if err := o.readJournal(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "loadstone-bisect-")
	if err != nil {
		return err
	}
	o.builds = &bisect.Builds{Repository: o.repo, Dir: dir, Commits: o.commits, Command: o.build}
	defer o.builds.Remove()
	return o.search(ctx, e)
}

// search searches and prints what it finds.
func (o *bisectOptions) search(ctx context.Context, e *env) error {
	target, tokens, err := o.targets()
	if err != nil {
		return err
	}
	show := &bisectProgress{e: e, o: o, redraw: terminal.Is(e.stderr)}
	show.begin()
	duels := bisect.Duels{Target: target, Load: o.bench.loads[0], Figure: o.figure, Rounds: o.rounds,
		Tokens: tokens, OnRound: show.round}
	s := bisect.Search{Commits: len(o.commits), Budget: o.budget, Effect: o.effect,
		Confidence: o.confidence, Rounds: o.rounds, Earlier: o.earlier(),
		Build: func(ctx context.Context, commit int) (string, error) {
			show.status("building " + o.commits[commit].Short())
			return o.builds.Build(ctx, commit)
		},
		Measure: func(ctx context.Context, commit int) ([]float64, error) {
			show.measuring(commit)
			return duels.Measure(ctx, commit)
		},
		OnStep: func(step bisect.Step) {
			show.step(step)
			o.keep(e, step)
		},
	}
	found, err := s.Run(ctx)
	show.end()
	return o.conclude(ctx, e, found, err)
}

// conclude prints the result and gives it its exit code.
func (o *bisectOptions) conclude(ctx context.Context, e *env, r *bisect.Result, err error) error {
	var skip *bisect.SkipError
	switch {
	case ctx.Err() != nil:
		err = &exitError{exitInterrupted, errors.New("interrupted")}
	case errors.As(err, &skip):
		which := "good"
		if skip.Commit > 0 {
			which = "bad"
		}
		return &exitError{exitUnreachable, fmt.Errorf("the %s commit, %s: %w", which,
			o.commits[skip.Commit].Short(), err)}
	case err != nil:
		return hint(err)
	case r.Ending == bisect.NoChange:
		err = &exitError{exitMissed, fmt.Errorf("bisect: no change of %s was found",
			o.effectText)}
	case r.Ending == bisect.Drifts:
		err = &exitError{exitMissed, errors.New("bisect: no single commit made it worse")}
	case r.Ending == bisect.BudgetSpent:
		err = &exitError{exitNotShown, errors.New("bisect: the budget was too small" + o.goOn(r))}
	}
	if len(r.Sessions) == 0 && r.Ending != bisect.NoChange {
		return err
	}
	if o.bench.json {
		return errors.Join(o.printJSON(e.stdout, r), err)
	}
	return errors.Join(r.Write(e.stdout, o.commits, o.subject(), o.effect), err)
}

// goOn returns the command line that continues a search whose budget is spent.
func (o *bisectOptions) goOn(r *bisect.Result) string {
	more := "-budget"
	if r.More > 0 {
		more = fmt.Sprintf("-budget %.0fm", r.More.Minutes()+1)
	}
	return fmt.Sprintf("; the same command with %s -out %s goes on from here", more, o.out)
}

func (o *bisectOptions) subject() string { return o.figure.Name + " of " + o.bench.loads[0].Name }

// printJSON prints the result with hashes in place of indices.
func (o *bisectOptions) printJSON(w io.Writer, r *bisect.Result) error {
	type suspect struct {
		Commits     []string      `json:"commits"`
		Probability float64       `json:"probability"`
		Change      bisect.Change `json:"change"`
	}
	of := func(all []bisect.Suspect) []suspect {
		out := []suspect{}
		for _, s := range all {
			one := suspect{Probability: s.P, Change: s.Change}
			for i := s.From; i <= s.To; i++ {
				one.Commits = append(one.Commits, o.commits[i].Hash)
			}
			out = append(out, one)
		}
		return out
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Ending   bisect.Ending `json:"ending"`
		Culprits []suspect     `json:"culprits"`
		Suspects []suspect     `json:"suspects"`
		Whole    bisect.Change `json:"whole"`
		None     float64       `json:"none"`
		Several  float64       `json:"several"`
		Drift    float64       `json:"drift"`
		Sessions int           `json:"sessions"`
		Builds   int           `json:"builds"`
		Seconds  float64       `json:"seconds"`
		More     float64       `json:"more_seconds"`
	}{r.Ending, of(r.Culprits), of(r.Suspects), r.Whole, r.None, r.Several, r.Drift, len(r.Sessions),
		r.Builds, r.Took.Seconds(), r.More.Seconds()})
}

// targets are the servers of the builds.
func (o *bisectOptions) targets() (func(int) harness.Target, func(string) (int, error), error) {
	to, err := o.bench.access.target("", o.bench.serve)
	if err != nil {
		return nil, nil, err
	}
	if o.start != "" {
		to.Model = ""
		return func(commit int) harness.Target {
			t := to
			t.Command = []string{"sh", "-c", `cd "$0" && OUT=$1 && export OUT && exec ` + o.start,
				o.builds.Folder(commit), o.builds.Program(commit)}
			return t
		}, o.bench.tokens, nil
	}
	src, err := catalog.Open(o.bench.model)
	if err != nil {
		return nil, nil, usageError("%w", err)
	}
	to.Model = src.Name
	tokens := o.bench.tokens
	if tokens == nil {
		tokens = tokensOf(src)
	}
	return func(commit int) harness.Target {
		t := to
		t.Command = slices.Concat([]string{o.builds.Program(commit), "serve", "-addr", "127.0.0.1:0",
			"-model", o.bench.model, "-backend", o.bench.backend}, o.bench.serve)
		return t
	}, tokens, nil
}

// readJournal reads what an earlier search of the same kept in -out.
func (o *bisectOptions) readJournal() error {
	last := o.commits[len(o.commits)-1]
	o.journal = bisectJournal{Good: o.commits[0].Hash, Bad: last.Hash, Measured: o.conditions()}
	text, err := os.ReadFile(o.journalFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var old bisectJournal
	if err := json.Unmarshal(text, &old); err != nil {
		return usageError("%s is damaged: %w; give another folder with -out", o.journalFile(), err)
	}
	if old.Good != o.journal.Good || old.Bad != o.journal.Bad || old.Measured != o.journal.Measured {
		return usageError("%s has another search, of %s from %.10s to %.10s; give another folder "+
			"with -out", o.journalFile(), old.Measured, old.Good, old.Bad)
	}
	o.journal = old
	return nil
}

func (o *bisectOptions) journalFile() string { return filepath.Join(o.out, "bisect.json") }

// conditions says what is measured, and how. Sessions belong to one search if it is the same.
func (o *bisectOptions) conditions() string {
	parts := []string{o.subject(), fmt.Sprintf("%d rounds", o.rounds),
		o.bench.loads[0].Identity().Text(), "build " + o.build}
	if o.start != "" {
		parts = append(parts, "start "+o.start)
	} else {
		parts = append(parts, "model "+o.bench.model, "backend "+o.bench.backend)
	}
	return strings.Join(append(parts, o.bench.serve...), ", ")
}

// earlier returns the sessions that the journal has of commits of this search.
func (o *bisectOptions) earlier() []bisect.Session {
	var all []bisect.Session
	for _, s := range o.journal.Sessions {
		i := slices.IndexFunc(o.commits, func(c bisect.Commit) bool { return c.Hash == s.Commit })
		if i >= 0 {
			all = append(all, bisect.Session{Commit: i, Ratios: s.Ratios})
		}
	}
	return all
}

// keep writes the journal after a step.
func (o *bisectOptions) keep(e *env, step bisect.Step) {
	if step.Session.Ratios == nil {
		return
	}
	o.journal.Sessions = append(o.journal.Sessions,
		journalSession{o.commits[step.Session.Commit].Hash, step.Session.Ratios})
	err := os.MkdirAll(o.out, 0o755)
	if err == nil {
		err = writeFile(o.journalFile(), func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", " ")
			return enc.Encode(o.journal)
		})
	}
	if err != nil {
		fmt.Fprintln(e.stderr, "note: what was measured is not kept:", err)
	}
}

// bisectProgress shows the search on standard error: a line for each step, and on a terminal what
// is under way.
type bisectProgress struct {
	e      *env
	o      *bisectOptions
	redraw bool
	steps  int
	open   string // what is under way
}

func (p *bisectProgress) begin() {
	if p.o.bench.quiet {
		return
	}
	fmt.Fprintf(p.e.stderr, "%s after %s; %s, a session of %s each; budget %s\n",
		table.Plural(len(p.o.commits)-1, "commit"), p.o.commits[0].Short(), p.o.subject(),
		table.Plural(p.o.rounds, "round"), p.o.budget)
	if n := len(p.o.journal.Sessions); n > 0 {
		fmt.Fprintf(p.e.stderr, "goes on after %s in %s\n", table.Plural(n, "session"), p.o.out)
	}
}

// status shows what is under way.
func (p *bisectProgress) status(text string) {
	switch p.open = text; {
	case p.o.bench.quiet:
	case p.redraw:
		fmt.Fprintf(p.e.stderr, "\r\x1b[K%s", text)
	default:
		fmt.Fprintln(p.e.stderr, text)
	}
}

func (p *bisectProgress) measuring(commit int) {
	text := "measuring " + p.o.commits[commit].Short() + " against " + p.o.commits[0].Short()
	if commit == 0 {
		text = "measuring " + p.o.commits[0].Short() + " against itself, for the noise"
	}
	p.status(text)
}

func (p *bisectProgress) round(round, side int, took time.Duration) {
	if p.redraw && !p.o.bench.quiet {
		fmt.Fprintf(p.e.stderr, "\r\x1b[K%s: round %d of %d, %s", p.open, round+1, p.o.rounds,
			sideNames[side])
	}
}

func (p *bisectProgress) end() {
	if p.redraw && !p.o.bench.quiet {
		fmt.Fprint(p.e.stderr, "\r\x1b[K")
	}
}

// step shows a step that is over, and what is likely after it.
func (p *bisectProgress) step(s bisect.Step) {
	if p.o.bench.quiet {
		return
	}
	p.end()
	p.steps++
	line := fmt.Sprintf("step %d: %s", p.steps, p.o.commits[s.Commit].Short())
	switch {
	case s.Skipped != nil:
		line += " is skipped: " + table.OneLine(s.Skipped.Error())
	case s.Session.Ratios == nil:
		line += " is the same program as " + p.o.commits[s.Same].Short()
	default:
		line += " " + s.Session.String()
	}
	if len(s.Result.Suspects) > 0 {
		best := s.Result.Suspects[0]
		where := p.o.commits[best.To].Short()
		if best.From < best.To {
			where = fmt.Sprintf("%s to %s, %s", p.o.commits[best.From].Short(), where,
				table.Plural(best.To-best.From+1, "commit"))
		}
		p := best.P
		if s.Result.None > p {
			p, where = s.Result.None, "none"
		}
		if s.Result.Drift > p {
			p, where = s.Result.Drift, "a drift"
		}
		line += fmt.Sprintf("; most likely (%.0f %%) %s", 100*p, where)
	}
	fmt.Fprintf(p.e.stderr, "%s; %.0f min left\n", line, max(s.Left, 0).Minutes())
}

func parseBisect(e *env, args []string) (*bisectOptions, error) {
	o := &bisectOptions{}
	b := &o.bench
	f := flags("bisect", bisectAbout, bisectExamples, e.stdout)
	f.StringVar(&o.good, "good", "", "`revision` that was well")
	f.StringVar(&o.bad, "bad", "HEAD", "`revision` that is worse")
	f.StringVar(&o.repo, "repo", ".", "`folder` of the git repository")
	f.DurationVar(&o.budget, "budget", time.Hour, "how long it may take")
	f.StringVar(&o.build, "build", defaultBuild, "`command` that builds the program $OUT")
	f.StringVar(&o.start, "start", "", "`command` that serves with $OUT; default: $OUT serve")
	scenarioName := f.String("scenario", "concurrent-5", "`name` of the scenario to measure")
	f.StringVar(&o.unit, "unit", "p50-e2e", "`name` of the figure to compare")
	f.StringVar(&o.effectText, "effect", "2%", "smallest `change` that matters")
	f.StringVar(&o.confidenceText, "confidence", "95%", "`probability` at which a commit is named")
	f.IntVar(&o.rounds, "rounds", 4, "rounds of each session, one run on each side")
	f.IntVar(&b.n, "n", 10, "repetitions of the scenario in each run")
	b.sizes(f)
	f.Uint64Var(&b.seed, "seed", 1, "of the prompts")
	f.StringVar(&o.out, "out", "", "`folder` that keeps what was measured, to go on from; default: "+
		"loadstone-results/bisect- and the two commits")
	f.BoolVar(&b.json, "json", false, "print JSON instead of text")
	b.modelFlags(f)
	var err error
	if b.serve, _, err = f.parseBeforeServe(args, 0); err != nil {
		return nil, err
	}
	return o, o.check(*scenarioName)
}

// check refuses flags that leave nothing to search for.
func (o *bisectOptions) check(scenarioName string) (err error) {
	b := &o.bench
	if o.good == "" {
		return usageError("want -good REVISION, one that was well; loadstone bisect -h shows examples")
	}
	if o.effect, err = share("effect", o.effectText, 0.001, 10); err != nil {
		return err
	}
	if o.confidence, err = share("confidence", o.confidenceText, 0.5, 0.9999); err != nil {
		return err
	}
	switch {
	case o.rounds < 2 || o.rounds > 100:
		return usageError("-rounds is %d; want 2 to 100, or nothing is in turns", o.rounds)
	case o.budget <= 0:
		return usageError("-budget is %v; want more than 0", o.budget)
	case o.start != "" && len(b.serve) > 0:
		return usageError("flags after -- are for loadstone serve; with -start, write them in " +
			"its command")
	case strings.Contains(scenarioName, ","):
		return usageError("-scenario %s: want one", scenarioName)
	}
	var ok bool
	if o.figure, ok = figure.Find(o.unit); !ok || o.figure.Better == "" {
		return usageError("-unit %s is no figure that is better or worse; such are %s", o.unit,
			figure.Names())
	}
	b.runs = 1
	if err := b.checkAmounts(); err != nil {
		return err
	}
	if err := b.choose(scenarioName); err != nil {
		return err
	}
	if o.out == "" {
		o.out = filepath.Join("loadstone-results", "bisect-"+fileName(o.good)+"-"+fileName(o.bad))
	}
	return nil
}

// fileName is a revision as a part of a file's name.
func fileName(revision string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:~^@{}`, r) {
			return '_'
		}
		return r
	}, revision)
}

// share reads a share such as 2%.
func share(flag, text string, lo, hi float64) (float64, error) {
	var v float64
	if _, err := fmt.Sscanf(text, "%g%%", &v); err != nil || !strings.HasSuffix(text, "%") ||
		v/100 < lo || v/100 > hi {
		return 0, usageError("-%s %s; want a share from %g%% to %g%%", flag, text, 100*lo, 100*hi)
	}
	return v / 100, nil
}
