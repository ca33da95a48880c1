package metrics

// AdmitBelow is the utilisation of its KV pool, 0 to 1, from which on the server refuses new work; 0
// where it does not say.
func (m Metrics) AdmitBelow() float64 { return max(0, m.Value("loadstone_pool_admit_below_ratio")) }
