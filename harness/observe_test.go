package harness

import (
	"testing"
	"time"

	"loadstone/harness/record"
)

// A long run has as many samples as a short one, in order, and its peaks are among them.
func TestSeriesIsBounded(t *testing.T) {
	var s series
	const looks = 37*maxSamples + 5
	for i := range looks {
		look := record.Sample{At: time.Duration(i), Queue: -1, Running: float64(i % 7), Pool: 0.1}
		if i == 12_345 {
			look.Pool = 0.9
		}
		s.add(look)
		if len(s.samples) > maxSamples {
			t.Fatalf("%d samples after %d looks, want at most %d", len(s.samples), i+1, maxSamples)
		}
	}
	if n := len(s.samples); n < maxSamples/2 || s.samples[n-1].At < looks*9/10 {
		t.Errorf("%d samples, the last of %v of %d", n, int(s.samples[n-1].At), looks)
	}
	for i := 1; i < len(s.samples); i++ {
		if s.samples[i].At <= s.samples[i-1].At {
			t.Fatalf("sample %d of %v comes after %v", i, s.samples[i].At, s.samples[i-1].At)
		}
	}
	if got := record.PeakPool(s.samples); got != 0.9 {
		t.Errorf("the peak is %g, want 0.9", got)
	}
	if got := s.samples[5].Queue; got != -1 {
		t.Errorf("an unknown queue became %g", got)
	}
}
