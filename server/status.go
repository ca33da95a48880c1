package server

import (
	"net/http"
	"strconv"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/generate"
)

// recentWindow is the time over which /admin/status has quantiles.
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
	Recent   [][4]any          `json:"recent"` // age, TTFT, total time and tier of each answer
	Next     int               `json:"next"`   // ?since=N with this N returns newer answers
	Agents   []agentInfo       `json:"agents"` // those used last, for the operator
	Known    int               `json:"agents_known"`
}

type poolStatus struct {
	Blocks      int         `json:"blocks"`
	BlockTokens int         `json:"block_tokens"`
	WindowSlots int         `json:"window_slots"` // of sliding-window layers; 0: the model has none
	Utilization float64     `json:"utilization"`  // of blocks or window slots, the larger; 0 to 1
	AdmitBelow  float64     `json:"admit_below"`  // the utilization above which new work is refused
	Bytes       int64       `json:"bytes"`
	For         purposeInfo `json:"for"` // in bytes; the sum is Bytes
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
			return generate.Invalid("since",
				"since: %q; want the value of next in an earlier answer", text)
		}
	}
	now := time.Now()
	h := s.readiness()
	info := statusInfo{
		Model:    s.cfg.Model,
		State:    h.Status,
		Reason:   h.Reason,
		Loaded:   h.Loaded,
		UptimeMs: now.Sub(s.started).Milliseconds(),
		Pool:     poolStatus{AdmitBelow: engine.AdmitBelow},
		Counters: map[string]uint64{"panics": s.metrics.panics.Load()},
		Rejects:  s.metrics.refused(),
		Recent:   [][4]any{},
		Agents:   []agentInfo{},
	}
	if b := s.backend.Load(); b != nil {
		info.addStats(b.engine.Stats())
		agents := s.roster.agents.get(b.engine, lastUsed)
		info.Known = agents.known
		if w.caller.seesNames {
			for _, m := range agents.list {
				a := s.agentInfo(m)
				a.Principal = s.principalName(m.Principal)
				info.Agents = append(info.Agents, a)
			}
		}
	}
	all, next := s.recent.since(0, w.caller)
	info.Latency, info.Next = newLatencyStatus(all, now), next
	newer, _ := s.recent.since(since, w.caller)
	for _, a := range newer {
		age := now.Sub(a.at).Milliseconds()
		info.Recent = append(info.Recent,
			[4]any{age, inMilliseconds(a.ttft), inMilliseconds(a.total), a.tier})
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, info)
}

// addStats adds what the engine counts.
func (info *statusInfo) addStats(st engine.Stats) {
	info.Running, info.Queued, info.Weights = st.Running, st.Queued, st.WeightBytes
	info.Pool = poolStatus{
		Blocks:      st.Blocks,
		BlockTokens: st.BlockTokens,
		WindowSlots: st.WindowSlots,
		Utilization: st.Utilization(),
		AdmitBelow:  engine.AdmitBelow,
		Bytes:       st.Bytes.Sum(),
		For:         purposeInfo(st.Bytes),
		DiskBytes:   st.DiskBytes,
	}
	for name, n := range map[string]uint64{
		"finished": st.Finished, "cancelled": st.Cancelled, "failed": st.Failed,
		"steps": st.Steps, "batch_sequences": st.BatchSequences,
		"prompt_tokens": st.PromptTokens, "cached_tokens": st.CachedTokens,
		"output_tokens": st.OutputTokens, "drafted_tokens": st.Drafted, "accepted_tokens": st.Accepted,

		"hot": st.FromHot, "disk": st.FromDisk, "cold": st.FromCold,
		"evictions": st.Evictions, "restores": st.Restores, "saves": st.Saves,
	} {
		info.Counters[name] = n
	}
}

// newLatencyStatus returns the quantiles of the answers that ended in the window before now.
func newLatencyStatus(all []served, now time.Time) latencyStatus {
	l := latencyStatus{WindowMs: recentWindow.Milliseconds()}
	var queue, ttft, itl, total []time.Duration
	for _, a := range all {
		if now.Sub(a.at) > recentWindow {
			continue
		}
		queue, ttft, total = append(queue, a.queue), append(ttft, a.ttft), append(total, a.total)
		if a.itl > 0 {
			itl = append(itl, a.itl)
		}
	}
	l.Answers = len(total)
	l.Queue, l.TTFT = newQuantiles(queue), newQuantiles(ttft)
	l.Token, l.Total = newQuantiles(itl), newQuantiles(total)
	return l
}
