package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"loadstone/harness/scenario"
)

const initAbout = `Writes a scenario file to start from, with every setting explained: scenario.txtar, or FILE. A file that is there already is
left as it is.`

const initExamples = `  loadstone init
  loadstone init mine.txtar && loadstone run mine.txtar
`

func initCommand(_ context.Context, e *env, args []string) error {
	f := flags("init", initAbout, initExamples, e.stdout)
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 1 {
		return usageError("want one file to write")
	}
	name := "scenario.txtar"
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
	_, err = file.WriteString(scenario.Example)
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(name) // half of an example is none
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s is written; change it, then: loadstone run %s\n", name, name)
	return err
}
