package verify

import (
	"testing"

	"loadstone/harness/record"
	"loadstone/harness/report"
)

// TestPeakOfSamples holds a run's peak to what its samples show: to the highest of them, or to the
// server's own count, which knows of a peak between two samples.
func TestPeakOfSamples(t *testing.T) {
	samples := []record.Sample{{Run: 1, Pool: 0.9}, {Run: 2, Pool: 0.83, Peak: 0.85}, {Run: 2, Pool: 0.4}}
	second := make([]record.Record, 1)
	second[0].Run = 2
	for peak, want := range map[float64]int{0.85: 0, 0.83: 1, 0.9: 1} {
		r := &report.Result{Records: second, Samples: samples,
			Runs: []record.Summary{{PeakPool: peak}}}
		v := &verification{Bundle: &Bundle{files: map[string][]byte{samplesFile: {}}}}
		v.checkRun(r, 0, "")
		if len(v.Differences) != want {
			t.Errorf("a peak of %g: %v", peak, v.Differences)
		}
	}
}
