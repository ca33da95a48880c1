package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"loadstone/harness/verdict"
	"loadstone/internal/git"
)

// ciOptions say in which forms a command that decides shows its verdict to continuous integration.
type ciOptions struct {
	summary  string // file of Markdown to append to; "" none
	junit    string
	comment  string
	id       string // of the comment
	advisory bool
	start    time.Time
}

// ciHelp is the part of a command's help that is about these flags.
const ciHelp = `In CI, -summary appends Markdown to the file that GITHUB_STEP_SUMMARY names (or -summary=FILE) and,
where GITHUB_ACTIONS is true, prints annotations; -junit FILE writes JUnit's XML; -comment FILE
writes a comment for the change, whose first line, which nobody sees, finds an earlier one with the
same -comment-id to update. -advisory reports all the same and never fails for what it decides:
begin with it, and leave it out when the gate has proved itself.`

// summaryVariable names the file that GitHub shows as a step's summary.
const summaryVariable = "GITHUB_STEP_SUMMARY"

func (o *ciOptions) flags(f *flagSet) {
	o.start = time.Now()
	f.Var((*summaryFlag)(&o.summary), "summary", "append Markdown to the file that "+summaryVariable+
		" names, or -summary=FILE; print annotations where GITHUB_ACTIONS is true")
	f.StringVar(&o.junit, "junit", "", "write JUnit's XML to this `file`")
	f.StringVar(&o.comment, "comment", "", "write a comment in Markdown to this `file`")
	f.StringVar(&o.id, "comment-id", f.Name(), "`name` by which a later comment finds this one")
	f.BoolVar(&o.advisory, "advisory", false, "report, and exit with 0 whatever is decided")
}

// A summaryFlag is a file's name, and may be given without one.
type summaryFlag string

func (s *summaryFlag) String() string   { return string(*s) }
func (s *summaryFlag) IsBoolFlag() bool { return true }
func (s *summaryFlag) Set(text string) error {
	switch text {
	case "false":
		*s = ""
	case "true":
		if *s = summaryFlag(os.Getenv(summaryVariable)); *s == "" {
			return errors.New(summaryVariable + " is not set; want -summary=FILE")
		}
	default:
		*s = summaryFlag(text)
	}
	return nil
}

// conclude writes the verdict in the forms that were asked for, and returns the error that the
// command ends with: decided is what was decided, nil where it passed.
func (o *ciOptions) conclude(ctx context.Context, e *env, v *verdict.Verdict, decided error) error {
	code := exitOK
	if decided != nil {
		code = exitFailed
		var coded *exitError
		if errors.As(decided, &coded) {
			code = coded.code
		}
	}
	v.Outcome = verdict.Passed
	switch code {
	case exitOK:
	case exitFailed, exitMissed:
		v.Outcome = verdict.Failed
	case exitUsage, exitNotShown:
		v.Outcome = verdict.Undecided
	default: // nothing was decided: it was interrupted, or there is no server
		return decided
	}
	if decided != nil {
		v.Why = strings.TrimPrefix(oneLine(decided), v.Name+": ")
	}
	v.Advisory, v.Time, v.Took = o.advisory, o.start, time.Since(o.start)
	if err := o.write(e, v); err != nil {
		return errors.Join(decided, err)
	}
	if o.advisory && decided != nil {
		fmt.Fprintf(e.stderr, "loadstone: %s (advisory: exit code %d is not returned)\n",
			oneLine(decided), code)
		return nil
	}
	return decided
}

// write writes the forms.
func (o *ciOptions) write(e *env, v *verdict.Verdict) error {
	var failures []error
	if o.summary != "" {
		failures = append(failures, appendFile(o.summary, v.WriteMarkdown))
		if os.Getenv("GITHUB_ACTIONS") == "true" {
			failures = append(failures, v.WriteAnnotations(e.stdout))
		}
	}
	if o.junit != "" {
		failures = append(failures, writeFile(o.junit, v.WriteJUnit))
	}
	if o.comment != "" {
		failures = append(failures, writeFile(o.comment, func(w io.Writer) error {
			return v.WriteComment(w, o.id)
		}))
	}
	return errors.Join(failures...)
}

// appendFile adds to a file, or makes it.
func appendFile(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// headCommit is the commit that is judged, as CI or git has it; "" not known.
func headCommit(ctx context.Context) string {
	for _, name := range []string{"LOADSTONE_HEAD", "CI_COMMIT_SHA", "GITHUB_SHA"} {
		if hash := os.Getenv(name); hash != "" {
			return hash[:min(len(hash), 10)]
		}
	}
	out, err := git.Run(ctx, "", "rev-parse", "--short=10", "HEAD")
	if err != nil {
		return ""
	}
	return out
}
