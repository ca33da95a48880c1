package metrics

import (
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// A server that does not publish from when on it refuses work is told from one that does.
func TestAdmitBelow(t *testing.T) {
	if got := Metrics(nil).AdmitBelow(); got != 0 {
		t.Errorf("of a server that does not say: %g", got)
	}
	share := 0.8
	series := []*dto.Metric{{Gauge: &dto.Gauge{Value: &share}}}
	m := Metrics{"loadstone_pool_admit_below_ratio": {Metric: series}}
	if got := m.AdmitBelow(); got != 0.8 {
		t.Errorf("%g, want 0.8", got)
	}
}
