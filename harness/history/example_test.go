package history_test

import (
	"fmt"
	"os"
	"strings"

	"loadstone/harness/history"
)

// Ten commits were measured beside the first one, on as many machines; from the sixth on the server
// takes 8 % longer.
func ExampleNew() {
	bench := func(milliseconds float64) []byte {
		var b strings.Builder
		b.WriteString("Unit p50-e2e-ns better=lower\n")
		for run := range 6 {
			fmt.Fprintf(&b, "BenchmarkServe/scenario=chat 1 %.0f p50-e2e-ns\n",
				1e6*milliseconds*(1+0.002*float64(run)))
		}
		return []byte(b.String())
	}
	base := history.Commit{Hash: "v1.0"}
	var all []history.Measurement
	for i := range 10 {
		speed, slower := 1+float64(i), 1.0 // of the machine, and of the commit
		if i >= 5 {
			slower = 1.08
		}
		all = append(all, history.NewMeasurement(fmt.Sprintf("%d.txt", i), base,
			history.Commit{Hash: fmt.Sprintf("v1.%d", i+1)},
			bench(40*speed*(1+0.001*float64(i%3))), bench(40*speed*slower)))
	}
	h, err := history.New(all, nil, history.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	h.WriteTable(os.Stdout, false, false)
	// Output:
	// p50-e2e               commits     change    95 % interval        p
	// chat     ▁▁▁▁▁▁█████  v1.5..v1.6  +8.0 %  +7.7 % … +8.3 %  < 0.001  worse
	//
	// 11 commits, v1.0 to v1.10, measured beside v1.0
	// 1 series: 1 change, 1 for the worse; 0 without a change (window 50, p <= 0.001, at least 2 %)
}

func ExampleFinder_Find() {
	values := []float64{20.1, 20.3, 19.9, 20.2, 20.0, 21.4, 21.6, 21.3, 21.5, 21.4}
	f := history.Finder{Window: 50, MaxP: 0.001}
	for _, c := range f.Find(values) {
		fmt.Printf("from value %d on: %.2f in place of %.2f\n", c.Index, c.After, c.Before)
	}
	// Output: from value 5 on: 21.44 in place of 20.10
}
