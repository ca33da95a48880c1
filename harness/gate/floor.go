package gate

import (
	"fmt"
	"io"

	"golang.org/x/perf/benchfmt"
)

// WriteFloor joins the two sides of an A/A measurement into one file, each result with the key side. The runs themselves
// are kept, not percentiles of them: how much noise is to be expected depends on how many runs a gate compares.
func WriteFloor(w io.Writer, base, head string) error {
	if _, err := fmt.Fprintf(w, "# loadstone gate -aa: the same server measured twice, in turns\n"); err != nil {
		return err
	}
	in := benchfmt.Files{Paths: []string{baseSide + "=" + base, headSide + "=" + head}, AllowLabels: true}
	out := benchfmt.NewWriter(w)
	written := map[benchfmt.UnitMetadataKey]bool{}
	for in.Scan() {
		record := in.Result()
		switch r := record.(type) {
		case *benchfmt.UnitMetadata:
			if written[r.UnitMetadataKey] {
				continue
			}
			written[r.UnitMetadataKey] = true
		case *benchfmt.Result:
			r = r.Clone() // the reader goes on with its own
			r.SetConfig(sideKey, r.GetConfig(".file"))
			r.SetConfig(".file", "")
			for i := range r.Config {
				r.Config[i].File = true
			}
			record = r
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	return in.Err()
}
