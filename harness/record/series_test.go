package record

import (
	"testing"
	"time"
)

// A long run has as many samples as a short one, in order, and its peaks are among them.
func TestSeriesIsBounded(t *testing.T) {
	var s Series
	const looks = 37*MaxSamples + 5
	for i := range looks {
		look := Sample{At: time.Duration(i), Queue: -1, Running: float64(i % 7), Pool: 0.1}
		if i == 12_345 {
			look.Pool = 0.9
		}
		s.Add(look)
		if len(s.Samples) > MaxSamples {
			t.Fatalf("%d samples after %d looks, want at most %d", len(s.Samples), i+1, MaxSamples)
		}
	}
	if n := len(s.Samples); n < MaxSamples/2 || s.Samples[n-1].At < looks*9/10 {
		t.Errorf("%d samples, the last of %v of %d", n, int(s.Samples[n-1].At), looks)
	}
	for i := 1; i < len(s.Samples); i++ {
		if s.Samples[i].At <= s.Samples[i-1].At {
			t.Fatalf("sample %d of %v comes after %v", i, s.Samples[i].At, s.Samples[i-1].At)
		}
	}
	if got := PeakPool(s.Samples); got != 0.9 {
		t.Errorf("the peak is %g, want 0.9", got)
	}
	if got := s.Samples[5].Queue; got != -1 {
		t.Errorf("an unknown queue became %g", got)
	}
}
