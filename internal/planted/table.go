package planted

import (
	"fmt"
	"slices"
	"strings"
)

// inSeeds stands for package world, which TestWorld runs and TestFound does not.
const inSeeds = "internal/world TestSeeds"

// A Row is what is committed of a bug and one of its finders.
type Row struct {
	Bug    string
	Finder string
}

const tableHead = `# Planted bugs

Each line is a bug that %[1]s plants into the sources, and the test that finds it; see
%[2]s. The column "in" has the first of the test's cases that fails: of
seeds, which count from 0, it says how many it takes. %[3]s holds it
to what is found: with each bug that case fails, and without a bug it passes. Written by
%[4]s.

The last column says which episode of package world, of the seeds from 1, fails first, and by which
invariant, or of how many seeds none does. It is empty where the world does not run the code. It is
a note of %[7]s: no test holds it to what is
found.

%[5]d mistakes and %[6]d faults of the track record.
`

// Table returns the committed table of bugs, whose cases are given by row.
func Table(bugs []*Bug, cases map[Row]string) string {
	var b strings.Builder
	past := 0
	for _, x := range bugs {
		if x.Area == record {
			past++
		}
	}
	fmt.Fprintf(&b, tableHead, "`internal/planted`", "`go doc ./internal/planted`",
		"`go test ./internal/planted`", "`go test ./internal/planted -update`", len(bugs)-past, past,
		"`go test ./internal/planted -run World -world 80 -update`")
	area := ""
	for _, x := range sorted(bugs) {
		if x.Area != area {
			area = x.Area
			fmt.Fprintf(&b, "\n## %s\n\n", title(area))
			if area == record {
				b.WriteString("| fault | what was wrong | mended | found by | in | in the world |\n" +
					"|---|---|---|---|---|---|\n")
			} else {
				b.WriteString("| bug | what is wrong | found by | in | in the world |\n" +
					"|---|---|---|---|---|\n")
			}
		}
		mended := ""
		if area == record {
			mended = x.Mended + " | "
		}
		for _, f := range x.Finders {
			fmt.Fprintf(&b, "| %s | %s | %s`%s` | `%s` | %s |\n", x.Name, cell(x.Mistake), mended,
				cell(f.String()), cell(cases[Row{x.Name, f.String()}]), cases[Row{x.Name, inSeeds}])
		}
	}
	return b.String()
}

// sorted returns bugs by area, those of the track record last.
func sorted(bugs []*Bug) []*Bug {
	bugs = slices.Clone(bugs)
	slices.SortStableFunc(bugs, func(a, b *Bug) int {
		if past := a.Area == record; past != (b.Area == record) {
			if past {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Area, b.Area)
	})
	return bugs
}

func title(area string) string {
	if area == record {
		return "Track record: faults that were here, brought back"
	}
	return strings.ToUpper(area[:1]) + area[1:]
}

// cell returns a text for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// ReadTable returns the cases of a committed table.
func ReadTable(text string) map[Row]string {
	cases := map[Row]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), " | ")
		if n := len(cells); n >= 5 {
			code := func(i int) string {
				return strings.ReplaceAll(strings.Trim(cells[i], "` |\n"), "\x00", "|")
			}
			bug := strings.Trim(cells[0], "| ")
			cases[Row{bug, code(n - 3)}], cases[Row{bug, inSeeds}] = code(n-2), code(n-1)
		}
	}
	return cases
}
