package server

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"loadstone/engine"
)

// metrics has what the server counts itself. What the engine counts is read from its Stats at each
// scrape.
type metrics struct {
	ttft, interToken, queue *histogram
	durations               map[string]*histogram     // by route; never written after newMetrics
	rejects                 map[string]*atomic.Uint64 // by reason; never written after newMetrics
	panics                  atomic.Uint64

	mu         sync.Mutex
	requests   map[requestKey]uint64
	principals map[principalKey]uint64
}

// A principalKey names a counter of answers, by principal and status. There are no more principals
// than keys.
type principalKey struct {
	principal string
	status    int
}

type requestKey struct {
	route  string
	status int
}

func newMetrics(routes []string) *metrics {
	m := &metrics{
		ttft:       newHistogram(requestBounds),
		interToken: newHistogram(tokenBounds),
		queue:      newHistogram(tokenBounds),
		durations:  make(map[string]*histogram),
		rejects:    make(map[string]*atomic.Uint64),
		requests:   make(map[requestKey]uint64),
		principals: make(map[principalKey]uint64),
	}
	for _, r := range append(routes, "none") {
		m.durations[r] = newHistogram(requestBounds)
	}
	for _, r := range refusals {
		m.rejects[r] = new(atomic.Uint64)
	}
	return m
}

// token counts a token of an answer, as generate.New prescribes it.
func (m *metrics) token(t engine.Token, since time.Duration) {
	if t.Start == nil {
		m.interToken.observe(since)
		return
	}
	m.ttft.observe(since)
	m.queue.observe(t.Queue)
}

// request counts an answer. A label must not grow with what clients invent, so the route of a path
// that does not exist is "none".
func (m *metrics) request(route, principal string, status int, d time.Duration) {
	if m.durations[route] == nil {
		route = "none"
	}
	m.durations[route].observe(d)
	m.mu.Lock()
	m.requests[requestKey{route, status}]++
	m.principals[principalKey{principal, status}]++
	m.mu.Unlock()
}

// appendPrincipals appends the metrics by principal, which only the operator sees. name returns
// the name of the principal with an id in the engine.
func (m *metrics) appendPrincipals(
	b []byte, usage []engine.Usage, name func(id string) string,
) []byte {
	m.mu.Lock()
	answers := maps.Clone(m.principals)
	m.mu.Unlock()
	b = appendHead(b, "loadstone_principal_requests_total", "counter",
		"Requests by principal and status. Only the operator's key shows principals.")
	for _, k := range slices.SortedFunc(maps.Keys(answers), func(a, b principalKey) int {
		return cmp.Or(cmp.Compare(a.principal, b.principal), cmp.Compare(a.status, b.status))
	}) {
		b = appendSample(b, `loadstone_principal_requests_total{principal="`+
			cmp.Or(k.principal, defaultPrincipal)+`",status="`+strconv.Itoa(k.status)+`"}`,
			float64(answers[k]))
	}
	for _, g := range []struct {
		name, help string
		value      func(engine.Usage) int64
	}{
		{"loadstone_principal_in_flight", "Requests that wait or run.",
			func(u engine.Usage) int64 { return int64(u.InFlight) }},
		{"loadstone_principal_pool_bytes", "Bytes of the KV pool: of requests and idle memories.",
			func(u engine.Usage) int64 { return u.PoolBytes }},
		{"loadstone_principal_disk_bytes", "Bytes of memories on disk.",
			func(u engine.Usage) int64 { return u.DiskBytes }},
	} {
		b = appendHead(b, g.name, "gauge", g.help)
		for _, u := range usage {
			b = appendSample(b, g.name+`{principal="`+name(u.Principal)+`"}`, float64(g.value(u)))
		}
	}
	return b
}

// reject counts an error if its code is a refusal's. Other errors are counted by their status in
// loadstone_requests_total.
func (m *metrics) reject(code string) {
	if n := m.rejects[code]; n != nil {
		n.Add(1)
	}
}

// refused returns the refusals so far, by reason.
func (m *metrics) refused() map[string]uint64 {
	n := make(map[string]uint64)
	for reason, count := range m.rejects {
		if v := count.Load(); v > 0 {
			n[reason] = v
		}
	}
	return n
}

func (m *metrics) append(b []byte) []byte {
	m.mu.Lock()
	requests := maps.Clone(m.requests)
	m.mu.Unlock()

	b = appendHead(b, "loadstone_requests_total", "counter",
		"Requests by route and status. 499: the client went away.")
	for _, k := range slices.SortedFunc(maps.Keys(requests), func(a, b requestKey) int {
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.status, b.status))
	}) {
		labels := `{route="` + k.route + `",status="` + strconv.Itoa(k.status) + `"}`
		b = appendSample(b, "loadstone_requests_total"+labels, float64(requests[k]))
	}
	b = appendHead(b, "loadstone_request_duration_seconds", "histogram",
		"From the request's head to the last byte of the answer.")
	for _, route := range slices.Sorted(maps.Keys(m.durations)) {
		if m.durations[route].empty() {
			continue // it would be 19 lines of zeros for every route that is not used
		}
		b = m.durations[route].append(b, "loadstone_request_duration_seconds", `route="`+route+`"`)
	}
	b = appendHead(b, "loadstone_ttft_seconds", "histogram",
		"From the request's head to the answer's first token.")
	b = m.ttft.append(b, "loadstone_ttft_seconds", "")
	b = appendHead(b, "loadstone_inter_token_seconds", "histogram",
		"Between two tokens of one answer.")
	b = m.interToken.append(b, "loadstone_inter_token_seconds", "")
	b = appendHead(b, "loadstone_queue_seconds", "histogram",
		"From submission to admission by the engine.")
	b = m.queue.append(b, "loadstone_queue_seconds", "")
	b = appendHead(b, "loadstone_rejects_total", "counter",
		"Requests refused, by the error's code.")
	for _, reason := range refusals {
		b = appendSample(b, `loadstone_rejects_total{reason="`+reason+`"}`,
			float64(m.rejects[reason].Load()))
	}
	b = appendHead(b, "loadstone_panics_total", "counter",
		"Requests that ended with 500 because of a bug.")
	b = appendSample(b, "loadstone_panics_total", float64(m.panics.Load()))
	return b
}

func appendHead(b []byte, name, kind, help string) []byte {
	return append(b, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
}

func appendSample(b []byte, series string, v float64) []byte {
	b = append(b, series...)
	b = append(b, ' ')
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	return append(b, '\n')
}
