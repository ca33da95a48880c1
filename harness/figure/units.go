package figure

import (
	"fmt"
	"io"
)

// WriteUnits writes the Unit lines of the Go benchmark format for all figures that benchmark lines
// have: which way is better, and that nothing is assumed of how a unit is distributed.
func WriteUnits(w io.Writer) error {
	for _, f := range Bench() {
		_, err := fmt.Fprintf(w, "Unit %s better=%s\nUnit %[1]s assume=nothing\n",
			f.BenchUnit(), f.Better)
		if err != nil {
			return err
		}
	}
	return nil
}
