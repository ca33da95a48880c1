// Package metrics reads what a server publishes at /metrics, by the names that servers have for it:
// ours, vLLM's, SGLang's and llama.cpp's.
package metrics

// Metrics is one scrape of a server's /metrics: its series by the name of the metric. The nil
// Metrics is that of a server that publishes nothing.
type Metrics map[string][]Series

// A Series is one value of a metric.
type Series struct {
	Labels []Label
	Value  float64
}

// A Label is a name and a value that set a series apart from the others of its metric.
type Label struct{ Name, Value string }

// Value sums the series of a metric whose labels include the given pairs of name and value. It is
// -1 where the server publishes no such series.
func (m Metrics) Value(name string, labels ...string) float64 {
	sum, found := 0.0, false
	for _, s := range m[name] {
		if s.has(labels) {
			found = true
			sum += s.Value
		}
	}
	if !found {
		return -1
	}
	return sum
}

// Label is the value of a label, "" where the series does not have it.
func (s Series) Label(name string) string {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// has reports whether the series has all labels of the list, which holds a name and a value in
// turn.
func (s Series) has(labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if s.Label(labels[i]) != labels[i+1] {
			return false
		}
	}
	return true
}

// first is the value of the first of the names that the server publishes, or -1.
func (m Metrics) first(names []string, labels ...string) float64 {
	for _, name := range names {
		if v := m.Value(name, labels...); v >= 0 {
			return v
		}
	}
	return -1
}
