package gate_test

import (
	"fmt"
	"strings"

	"loadstone/harness/gate"
)

// Two benchmark files of seven runs each: the head answers a third more slowly.
func ExampleCompare() {
	file := func(name string, times ...int) gate.File {
		var b strings.Builder
		b.WriteString("Unit p50-e2e-ns better=lower\n")
		for _, ms := range times {
			fmt.Fprintf(&b, "BenchmarkServe/scenario=chat 1 %d p50-e2e-ns\n", ms*1e6)
		}
		return gate.File{Name: name, Reader: strings.NewReader(b.String())}
	}
	base := file("base", 100, 101, 102, 103, 104, 105, 106)
	head := file("head", 133, 134, 135, 137, 138, 139, 141)
	c, err := gate.Compare(base, head, gate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, cell := range c.Cells {
		row := cell.Row()
		fmt.Println(cell.Scenario, cell.ShortUnit(), row.Base, row.Head, row.Change, row.Verdict)
	}
	fmt.Println(c.Decide())
	// Output:
	// chat p50-e2e 103 ms 137 ms +32.7 % worse: more than 5 %
	// of 1 cells 1 worse
}
