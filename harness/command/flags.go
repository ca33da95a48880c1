package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"loadstone/internal/helptext"
)

// A flagSet is a command's flags and what its -h says.
type flagSet struct {
	*flag.FlagSet
	stdout          io.Writer
	about, examples string
}

func flags(name, about, examples string, stdout io.Writer) *flagSet {
	f := &flagSet{flag.NewFlagSet(name, flag.ContinueOnError), stdout, about, examples}
	f.SetOutput(io.Discard)
	f.Usage = func() {} // package flag prints it after every mistake; here a mistake gets one line
	return f
}

// parse parses a command's flags. They may stand before, between and behind its other arguments,
// which Args has then, up to an argument --, behind which nothing is a flag. -h prints the help;
// the error of a mistake says how to get it.
func (f *flagSet) parse(args []string) error {
	args, others := cutDashes(args)
	var before []string
	for {
		if err := f.parseLeading(args); err != nil {
			return err
		}
		if f.NArg() == 0 {
			break
		}
		before, args = append(before, f.Arg(0)), f.Args()[1:]
	}
	return f.Parse(slices.Concat([]string{"--"}, before, others))
}

// parseLeading is parse for a command whose other arguments are words of a text: flags stand before
// them.
func (f *flagSet) parseLeading(args []string) error {
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.help()
	case err != nil:
		return usageError("%w%s; loadstone %s -h lists the flags", err, f.wanted(err), f.Name())
	}
	return err
}

// wanted says what a flag takes, where package flag says of a value no more than that it does not
// parse.
func (f *flagSet) wanted(err error) (want string) {
	f.VisitAll(func(g *flag.Flag) {
		v, ok := g.Value.(flag.Getter)
		if !ok || !strings.HasSuffix(err.Error(), " for flag -"+g.Name+": parse error") {
			return
		}
		switch v.Get().(type) {
		case time.Duration:
			want = ", want a time such as 30s, 10m or 1h30m"
		case int:
			want = ", want a whole number"
		case uint64:
			want = ", want a whole number from 0"
		case float64:
			want = ", want a number"
		}
	})
	return want
}

// parseBeforeServe parses the flags of a command that takes no more than so many files, and behind
// -- the flags of serve. It returns the latter, and which of its own were set.
func (f *flagSet) parseBeforeServe(args []string, files int) (
	serve []string, set map[string]bool, err error) {
	args, serve = cutDashes(args)
	if err := f.parse(args); err != nil {
		return nil, nil, err
	}
	if f.NArg() > files {
		return nil, nil, usageError("unexpected argument %q; loadstone %s -h lists the flags",
			f.Arg(files), f.Name())
	}
	set = map[string]bool{}
	f.Visit(func(g *flag.Flag) { set[g.Name] = true })
	return serve, set, nil
}

// cutDashes returns the arguments before the first -- and those behind it.
func cutDashes(args []string) (before, behind []string) {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

func (f *flagSet) help() {
	fmt.Fprintf(f.stdout, "usage: loadstone %s %s\n\n%s\n",
		f.Name(), findCommand(f.Name()).args, f.about)
	any := false
	f.VisitAll(func(*flag.Flag) { any = true })
	if any {
		fmt.Fprint(f.stdout, "\nFlags:\n")
		helptext.Flags(f.stdout, f.FlagSet)
	}
	fmt.Fprintf(f.stdout, "\nExamples:\n%s", f.examples)
}
