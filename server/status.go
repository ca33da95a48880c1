package server

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"loadstone/engine"
)

//go:embed status.html
var statusHTML string

var statusPage = template.Must(template.New("status").Parse(statusHTML))

// page serves GET /: a page that draws what /admin/status says, once a second. It is open where a server has keys, and
// holds nothing that needs one: it asks its reader for the key. All of it is in one file; nothing else is ever loaded.
func (s *Server) page(w *response, r *http.Request) error {
	nonce := rand.Text()
	var b bytes.Buffer
	if err := statusPage.Execute(&b, struct{ Nonce string }{nonce}); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	w.Write(b.Bytes())
	return nil
}

// recentWindow is what the quantiles of /admin/status are over.
const recentWindow = time.Minute

// statusInfo is the body of GET /admin/status. Durations are milliseconds.
type statusInfo struct {
	Model    string            `json:"model"`
	State    string            `json:"state"` // as /health/ready says it
	Reason   string            `json:"reason,omitempty"`
	Loaded   *int64            `json:"loaded_percent,omitempty"`
	UptimeMs int64             `json:"uptime_ms"`
	Weights  int64             `json:"weight_bytes"`
	Pool     poolStatus        `json:"pool"`
	Running  int               `json:"running"`
	Queued   int               `json:"queued"`
	Counters map[string]uint64 `json:"counters"` // since the start
	Rejects  map[string]uint64 `json:"rejects"`  // by reason, those that happened
	Latency  latencyStatus     `json:"latency"`
	Recent   [][4]any          `json:"recent"` // of each answer: how long ago it ended, time to first token, in all, tier
	Next     int               `json:"next"`   // ?since=N with this gets the answers that are new by then
	Agents   []agentInfo       `json:"agents"` // the last used
	Known    int               `json:"agents_known"`
}

type poolStatus struct {
	Blocks      int         `json:"blocks"`
	BlockTokens int         `json:"block_tokens"`
	Locals      int         `json:"locals"`
	Utilization float64     `json:"utilization"` // of blocks or, where that is more, locals, 0 to 1
	Bytes       int64       `json:"bytes"`
	For         purposeInfo `json:"for"` // in bytes; adds up to Bytes
	DiskBytes   int64       `json:"disk_bytes"`
}

// purposeInfo is an engine.Purposes.
type purposeInfo struct {
	Running  int64 `json:"running"`
	Promised int64 `json:"promised"`
	Shared   int64 `json:"shared"`
	Cached   int64 `json:"cached"`
	Free     int64 `json:"free"`
}

type latencyStatus struct {
	WindowMs int64      `json:"window_ms"`
	Answers  int        `json:"answers"` // in the window
	Queue    *quantiles `json:"queue"`
	TTFT     *quantiles `json:"ttft"`
	Token    *quantiles `json:"token"`
	Total    *quantiles `json:"total"`
}

// status serves GET /admin/status. It never waits for a step of the model.
func (s *Server) status(w *response, r *http.Request) error {
	since := 0
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = strconv.Atoi(text); err != nil || since < 0 {
			return invalid("since", "since: %q; want a number that next was", text)
		}
	}
	now := time.Now()
	h := s.readiness()
	info := statusInfo{Model: s.cfg.Model, State: h.Status, Reason: h.Reason, Loaded: h.Loaded, UptimeMs: now.Sub(s.started).Milliseconds(),
		Counters: map[string]uint64{"panics": s.metrics.panics.Load()}, Rejects: s.metrics.refused(), Recent: [][4]any{}, Agents: []agentInfo{}}
	if b := s.backend.Load(); b != nil {
		info.engine(b.engine.Stats())
		list, known := s.roster.look(b.engine)
		info.Known = known
		for _, m := range list {
			info.Agents = append(info.Agents, s.agentInfo(m))
		}
	}
	all, next := s.recent.since(0)
	info.Latency, info.Next = newLatencyStatus(all, now), next
	for _, a := range all[max(0, len(all)-max(0, next-since)):] {
		info.Recent = append(info.Recent, [4]any{now.Sub(a.at).Milliseconds(), inMilliseconds(a.ttft), inMilliseconds(a.total), a.tier})
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, info)
}

func (info *statusInfo) engine(st engine.Stats) {
	info.Running, info.Queued, info.Weights = st.Running, st.Queued, st.WeightBytes
	info.Pool = poolStatus{Blocks: st.Blocks, BlockTokens: st.BlockTokens, Locals: st.WindowSlots, Utilization: st.Utilization(),
		Bytes: st.Bytes.Sum(), For: purposeInfo(st.Bytes), DiskBytes: st.DiskBytes}
	for name, n := range map[string]uint64{
		"finished": st.Finished, "cancelled": st.Cancelled, "failed": st.Failed, "steps": st.Steps, "batch_sequences": st.BatchSequences,
		"prompt_tokens": st.PromptTokens, "cached_tokens": st.CachedTokens, "output_tokens": st.OutputTokens,
		"hot": st.FromHot, "warm": st.FromDisk, "cold": st.FromCold, "evictions": st.Evictions, "restores": st.Restores, "saves": st.Saves,
	} {
		info.Counters[name] = n
	}
}

func newLatencyStatus(all []served, now time.Time) latencyStatus {
	l := latencyStatus{WindowMs: recentWindow.Milliseconds()}
	var queue, ttft, token, total []time.Duration
	for _, a := range all {
		if now.Sub(a.at) > recentWindow {
			continue
		}
		queue, ttft, total = append(queue, a.queue), append(ttft, a.ttft), append(total, a.total)
		if a.token > 0 {
			token = append(token, a.token)
		}
	}
	l.Answers = len(total)
	l.Queue, l.TTFT, l.Token, l.Total = newQuantiles(queue), newQuantiles(ttft), newQuantiles(token), newQuantiles(total)
	return l
}

// A roster is the agents used last, as they were a moment ago: the engine is asked between two steps, and nobody waits
// for that but a goroutine.
type roster struct {
	mu     sync.Mutex
	asking bool
	list   []engine.Memory
	known  int
}

const rosterMost = 50

// look returns what is known, and has it looked up anew for the next time.
func (r *roster) look(e *engine.Engine) (list []engine.Memory, known int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asking {
		r.asking = true
		go r.ask(e)
	}
	return r.list, r.known
}

func (r *roster) ask(e *engine.Engine) {
	all, err := e.Agents()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking = false
	if err != nil {
		return // the engine has ended; what was is good enough
	}
	slices.SortStableFunc(all, func(a, b engine.Memory) int { return b.Used.Compare(a.Used) })
	r.list, r.known = slices.Clone(all[:min(len(all), rosterMost)]), len(all)
}
