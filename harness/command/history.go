package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"loadstone/harness/history"
	"loadstone/harness/report/page"
	"loadstone/harness/table"
	"loadstone/harness/terminal"
)

const historyAbout = `Finds since when a server is slower or faster: the change points of every scenario and unit over
the commits that were measured. PATH is a folder of measurements, or one file:

  ratios            a commit beside another one, in turns on one machine: files that -add made.
                    Each may be of another machine, because only its ratio counts.
  single results    bench.txt files or folders that bench wrote. All have to be of one machine,
                    and what changed may still be the machine.

With -git, every version of the files that git has is a measurement, under the names that they had
before as well. Commits are ordered by the git repository that PATH or -repo is in, else by date.

A change is found by E-divisive means with Student's t-test, as Apache Otava does it, and confirmed
by Welch's test and by the errors of the measurements themselves, so that a chain of ratios, each
to the commit before, does not drift. It comes with the commits that it lies between, its size with
a 95 % interval, and p. loadstone's package history has the rates of false alarms and of changes
found (go doc loadstone/harness/history).

Measure each commit beside one that stays the same as long as it builds: errors of a fixed base do
not add up. -add makes a file of the history from what gate measured.`

const historyExamples = `  loadstone history benchdata/history
  loadstone history -unit 'p50-*' -out history.html benchdata/history
  loadstone history -strict -since HEAD~20 benchdata/history      for CI: exit code 1 if slower
  loadstone history -git benchdata/baseline/tiny.txt              every committed version
  loadstone gate -base-cmd ./loadstone-v1 -head-cmd ./loadstone -out now
  loadstone history -add now -base v1 -head HEAD benchdata/history    adds what gate measured

What it prints when something changed:

  p50-e2e                  commits                change    95 % interval          p
  concurrent-5  ▁▁▁▁████  64959f3..61f23f6 (20)  +12.1 %  +10.0 % … +14.2 %  < 0.001  worse

Exit codes: 0 read, and with -strict no scenario's last change is for the worse; 1 with -strict one
is; 2 too few commits to tell, an unreadable or empty PATH, or a wrong command line.
`

// historyOptions are the command line of history.
type historyOptions struct {
	history.Options
	path             string
	git, asJSON      bool
	verbose, strict  bool
	repo, revision   string
	since, out       string
	add              string // folder that gate wrote
	addBase, addHead string // revisions
}

func historyCommand(ctx context.Context, e *env, args []string) error {
	o, err := parseHistory(e, args)
	if err != nil {
		return err
	}
	if o.add != "" {
		return o.addMeasurement(ctx, e)
	}
	h, err := o.read(ctx)
	if err != nil {
		return err
	}
	if err := o.write(e, h); err != nil {
		return err
	}
	return o.judge(h)
}

func parseHistory(e *env, args []string) (*historyOptions, error) {
	o := &historyOptions{Options: history.Options{Finder: history.DefaultFinder}}
	f := flags("history", historyAbout, historyExamples, e.stdout)
	scenarios := f.String("scenario", "", "`names` or patterns of scenarios, separated by commas; "+
		"default: all")
	units := f.String("unit", "", "`names` or patterns of units, separated by commas; default: "+
		"those that gate judges")
	f.BoolVar(&o.All, "all", false, "all units, not only those that gate judges")
	f.StringVar(&o.Filter, "filter", "", "`expression` of benchstat's filter language, such as "+
		"model:tiny")
	ignore := f.String("ignore", "", "configuration `keys`, separated by commas, that may differ "+
		"within a measurement")
	f.IntVar(&o.Finder.Window, "window", o.Finder.Window, "commits that are looked at together")
	f.Float64Var(&o.Finder.MaxP, "max-p", o.Finder.MaxP, "largest p of a change")
	f.Float64Var(&o.Finder.MinMagnitude, "min-change", o.Finder.MinMagnitude,
		"smallest change: 0.02 is 2 %, or 2 points of a ratio")
	f.BoolVar(&o.git, "git", false, "read every version that git has of PATH")
	f.StringVar(&o.repo, "repo", "", "`folder` of the git repository that knows the commits; "+
		"default: the one that PATH is in")
	f.StringVar(&o.revision, "rev", "HEAD", "git `revision` up to which commits count")
	f.StringVar(&o.since, "since", "", "git `revision`: show and judge only changes of commits "+
		"after it")
	f.BoolVar(&o.strict, "strict", false, "exit with 1 if the last change of a series is for "+
		"the worse")
	f.BoolVar(&o.asJSON, "json", false, "print the history as JSON instead of a table")
	f.StringVar(&o.out, "out", "", "also write the history as one page to look at to this `file`")
	f.BoolVar(&o.verbose, "v", false, "print all series, not only those that changed, and all "+
		"skipped files")
	f.StringVar(&o.add, "add", "", "`folder` that gate wrote: add its base.txt and head.txt to "+
		"the folder PATH as one file")
	f.StringVar(&o.addBase, "base", "", "with -add, the git `revision` that was the base")
	f.StringVar(&o.addHead, "head", "HEAD", "with -add, the git `revision` that was the head")
	if err := f.parse(args); err != nil {
		return nil, err
	}
	o.Scenarios, o.Units, o.Ignore = commas(*scenarios), commas(*units), commas(*ignore)
	switch {
	case f.NArg() != 1:
		return nil, usageError("want one folder of measurements; loadstone history -h shows examples")
	case o.Finder.Window < 4:
		return nil, usageError("-window is %d; want 4 or more", o.Finder.Window)
	case !(o.Finder.MaxP > 0 && o.Finder.MaxP < 1):
		return nil, usageError("-max-p is %g; want more than 0 and less than 1", o.Finder.MaxP)
	case !(o.Finder.MinMagnitude >= 0):
		return nil, usageError("-min-change is %g; want 0 or more", o.Finder.MinMagnitude)
	case o.add == "" && o.addBase != "":
		return nil, usageError("-base says what -add adds; loadstone gate compares two measurements")
	case o.add != "" && o.addBase == "":
		return nil, usageError("-add wants -base REVISION, the commit that base.txt was measured of")
	}
	o.path = f.Arg(0)
	return o, nil
}

// read reads the measurements and makes their history.
func (o *historyOptions) read(ctx context.Context) (*history.History, error) {
	repo, err := o.repository(ctx)
	if err != nil {
		return nil, err
	}
	var all []history.Measurement
	var skipped []history.Skipped
	if o.git {
		all, skipped, err = repo.ReadVersions(ctx, o.path, o.revision)
	} else {
		all, skipped, err = history.ReadFiles(o.path)
	}
	if err != nil {
		return nil, usageError("%w", err)
	}
	var timeline history.Timeline
	if repo != nil {
		var unplaced []history.Skipped
		if all, unplaced, timeline, err = repo.Place(ctx, all, o.revision); err != nil {
			return nil, usageError("%w", err)
		}
		skipped = append(skipped, unplaced...)
	}
	h, err := history.New(all, timeline, o.Options)
	if err != nil {
		return nil, gateError(err)
	}
	h.Skipped = append(skipped, h.Skipped...)
	if len(h.Series) == 0 {
		why := "no measurement in it; loadstone history -h says how one is added"
		if len(h.Skipped) > 0 {
			why = "no measurement of use in it: " + h.Skipped[0].String()
			if n := len(h.Skipped) - 1; n > 0 {
				why += fmt.Sprintf("; and %s more", table.Plural(n, "file"))
			}
		}
		return nil, usageError("%s: %s", o.path, why)
	}
	if repo != nil && repo.Shallow(ctx) {
		h.Notes = append(h.Notes, "this clone is shallow, so older commits are missing: "+
			"git fetch --unshallow brings them")
	}
	if o.since != "" {
		if err := o.cut(ctx, repo, h); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// repository opens the git repository of the commits. It returns nil if the path is in none and no
// flag needs one.
func (o *historyOptions) repository(ctx context.Context) (*history.Repository, error) {
	if _, err := os.Stat(o.path); err != nil && !o.git && o.add == "" {
		return nil, usageError("%w", err)
	}
	dir := o.repo
	if dir == "" {
		dir = existing(o.path)
	}
	repo, err := history.OpenRepository(ctx, dir)
	var none *history.NoRepositoryError
	needed := o.git || o.repo != "" || o.since != "" || o.add != ""
	switch {
	case err == nil:
		return repo, nil
	case (errors.As(err, &none) || errors.Is(err, history.ErrNoGit)) && !needed:
		return nil, nil
	case errors.As(err, &none) && o.repo == "":
		return nil, usageError("%w; -repo names the one that knows the commits", err)
	}
	return nil, usageError("%w", err)
}

// existing returns the nearest folder above a path that exists: a file that git's history has may
// be gone.
func existing(path string) string {
	for {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// cut removes the changes that commits up to a revision have brought.
func (o *historyOptions) cut(ctx context.Context, repo *history.Repository,
	h *history.History) error {
	c, err := repo.Commit(ctx, o.since)
	if err != nil {
		return usageError("-since: %w", err)
	}
	if err := h.Since(c); err != nil {
		return usageError("-since %s: %w", o.since, err)
	}
	return nil
}

func (o *historyOptions) write(e *env, h *history.History) error {
	if o.out != "" {
		err := writeFile(o.out, func(w io.Writer) error { return page.WriteHistory(w, h) })
		if err != nil {
			return err
		}
	}
	if o.asJSON {
		return h.WriteJSON(e.stdout)
	}
	return h.WriteTable(e.stdout, terminal.Color(e.stdout), o.verbose)
}

// judge is what the exit code says.
func (o *historyOptions) judge(h *history.History) error {
	if !h.Enough() {
		return usageError("history: no series has %d commits, so nothing can be told from chance",
			history.MinPoints)
	}
	if worse := h.Worse(); o.strict && len(worse) > 0 {
		s := worse[0]
		c := s.Changes[len(s.Changes)-1]
		text := fmt.Sprintf("history: %s of %s is worse since %s: %+.1f %%", s.Unit, s.Scenario, c.Span,
			100*c.Size)
		if n := len(worse) - 1; n > 0 {
			text += fmt.Sprintf("; and %d more", n)
		}
		return &exitError{exitFailed, errors.New(text)}
	}
	return nil
}

// addMeasurement adds what gate measured to the folder of a history.
func (o *historyOptions) addMeasurement(ctx context.Context, e *env) error {
	repo, err := o.repository(ctx)
	if err != nil {
		return err
	}
	var commits [2]history.Commit
	var texts [2][]byte
	for i, revision := range []string{o.addBase, o.addHead} {
		if commits[i], err = repo.Commit(ctx, revision); err != nil {
			return usageError("%w", err)
		}
		if texts[i], err = os.ReadFile(filepath.Join(o.add, sideNames[i]+".txt")); err != nil {
			return usageError("%w; -add wants a folder that loadstone gate -out wrote", err)
		}
	}
	name := filepath.Join(o.path, fmt.Sprintf("%s-%s-%s.txt",
		commits[1].Date.UTC().Format("20060102T1504"), commits[1].Short(), commits[0].Short()))
	m := history.NewMeasurement(name, commits[0], commits[1], texts[0], texts[1])
	h, err := history.New([]history.Measurement{m}, nil, history.Options{})
	switch {
	case err != nil:
		return gateError(err)
	case len(h.Skipped) > 0:
		return usageError("%s: %s", o.add, h.Skipped[0].Why)
	}
	if err := os.MkdirAll(o.path, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(name); err == nil {
		return usageError("%s is there already; remove it to measure again", name)
	}
	if err := writeFile(name, m.Write); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, name)
	return err
}
