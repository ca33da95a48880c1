package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"loadstone/harness/scenario"
)

const initAbout = `Writes a scenario file to start from, scenario.txtar or FILE, in which every setting is explained.
With -scenario it is one of the five scenarios of every baseline, or of the four of bench -suite
agents. A file that is there already is left as it is.`

const initExamples = `  loadstone init
  loadstone init mine.txtar && loadstone run mine.txtar
  loadstone init -scenario concurrent-10 && loadstone run concurrent-10.txtar
`

func initCommand(_ context.Context, e *env, args []string) error {
	f := flags("init", initAbout, initExamples, e.stdout)
	of := f.String("scenario", "", "`name` of a scenario to start from: "+
		strings.Join(scenario.Names(), ", "))
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 1 {
		return usageError("want one file to write")
	}
	name, text := "scenario.txtar", scenario.Example
	if *of != "" {
		var ok bool
		if text, ok = scenario.Text(*of); !ok {
			return usageError("unknown scenario %q; known are %s", *of, strings.Join(scenario.Names(), ", "))
		}
		name = *of + ".txtar"
	}
	if f.NArg() == 1 {
		name = f.Arg(0)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return usageError("%s is there already and was left as it is; give another name", name)
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(name) // half of a scenario would be another
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s is written; change it, then: loadstone run %s\n", name, name)
	return err
}
