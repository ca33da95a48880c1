package server

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/generate"
	"loadstone/server/internal/openai"
)

// agentInfo is what is known of an agent, which is a name and the memory behind it. Any request
// that names an agent makes it (see agentName). An agent that is created here is on disk before its
// first request. Nothing here touches the model, and a memory is inspected where it lies, without a
// restore.
type agentInfo struct {
	Object       string     `json:"object"`
	Principal    string     `json:"principal,omitempty"` // for the operator
	AgentID      string     `json:"agent_id"`
	Tier         string     `json:"tier"`            // hot: all of it is in the pool; else disk
	Tokens       int        `json:"tokens"`          // of the conversation after the last request
	Bytes        int64      `json:"bytes"`           // of its KV
	Dirty        bool       `json:"dirty"`           // the disk does not have it as it is now
	SavedTokens  int        `json:"saved_tokens"`    // of the conversation, on disk
	Unsaved      float64    `json:"unsaved_seconds"` // age of the oldest turn that is not there
	Pinned       bool       `json:"pinned"`
	Durable      bool       `json:"durable"` // each answer waits until it is on disk
	ModelID      string     `json:"model_id"`
	CreatedAt    *time.Time `json:"created_at"`
	LastAccessed *time.Time `json:"last_accessed"`
}

func (s *Server) agentInfo(m engine.Memory) agentInfo {
	return agentInfo{
		Object:       "agent",
		AgentID:      m.Agent,
		Tier:         m.Tier,
		Tokens:       m.Tokens,
		Bytes:        m.Bytes,
		Dirty:        !m.Saved,
		SavedTokens:  m.SavedTokens,
		Unsaved:      math.Round(m.Unsaved.Seconds()*1000) / 1000,
		Pinned:       m.Pinned,
		Durable:      m.Durable,
		ModelID:      s.cfg.Model,
		CreatedAt:    orNull(m.Created),
		LastAccessed: orNull(m.Used),
	}
}

// orNull returns a time in UTC to the millisecond, nil where it is not known.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Truncate(time.Millisecond))
}

// createAgent serves POST /v1/agents. The agent is on disk when the answer goes out, and so is that
// it is durable.
func (s *Server) createAgent(w *response, r *http.Request) error {
	b, err := s.accepting()
	if err != nil {
		return err
	}
	var body struct {
		AgentID string `json:"agent_id"` // "": the server makes one up
		Durable bool   `json:"durable"`  // each request of the agent is one with X-Durable: wait
	}
	if err := readOptionalBody(w, r, &body); err != nil {
		return err
	}
	id := cmp.Or(body.AgentID, newID("agent_"))
	if err := checkAgentName("agent_id", id); err != nil {
		return err
	}
	m, err := b.of(w).Create(id, body.Durable)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/agents/"+m.Agent)
	return writeJSON(w, http.StatusCreated, s.agentInfo(m))
}

// maxListed is the largest number of agents in one list.
const maxListed = 1000

// listAgents serves GET /v1/agents: by name or, with ?sort=recent, the last used first. ?limit=N
// bounds the list, and ?after=NAME returns the agents that come after this one.
func (s *Server) listAgents(w *response, r *http.Request) error {
	b, err := s.loaded()
	if err != nil {
		return err
	}
	query, limit := r.URL.Query(), maxListed
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxListed {
			return generate.Invalid("limit", "limit: %q; want 1 to %d", text, maxListed)
		}
	}
	all, err := b.of(w).Agents() // by name
	if err != nil {
		return err
	}
	switch by := query.Get("sort"); by {
	case "", "name":
	case "recent":
		slices.SortStableFunc(all, func(a, b engine.Memory) int { return b.Used.Compare(a.Used) })
	default:
		return generate.Invalid("sort", "sort: %q; want name or recent", by)
	}
	if after := query.Get("after"); after != "" {
		i := slices.IndexFunc(all, func(m engine.Memory) bool { return m.Agent == after })
		if i < 0 {
			return fmt.Errorf("agent %q: %w", after, engine.ErrNoMemory)
		}
		all = all[i+1:]
	}
	list := struct {
		Object  string      `json:"object"`
		Data    []agentInfo `json:"data"`
		HasMore bool        `json:"has_more"`
	}{"list", []agentInfo{}, len(all) > limit}
	for _, m := range all[:min(len(all), limit)] {
		list.Data = append(list.Data, s.agentInfo(m))
	}
	return writeJSON(w, http.StatusOK, list)
}

// agentStats serves GET /v1/agents/stats: counts over all agents of the principal.
func (s *Server) agentStats(w *response, r *http.Request) error {
	b, err := s.loaded()
	if err != nil {
		return err
	}
	all, err := b.of(w).Agents()
	if err != nil {
		return err
	}
	sum := struct {
		Principal   string  `json:"principal,omitempty"` // the caller's own name
		Hot         int     `json:"hot_count"`
		OnDisk      int     `json:"disk_count"`
		Total       int     `json:"total_count"`
		Dirty       int     `json:"dirty_count"`
		Pinned      int     `json:"pinned_count"`
		Tokens      int     `json:"total_tokens"`
		Bytes       int64   `json:"total_bytes"`
		DiskBytes   int64   `json:"disk_bytes"`       // of the caller's files
		Utilization float64 `json:"pool_utilization"` // 0 to 1
	}{
		Principal:   w.caller.principal,
		Total:       len(all),
		DiskBytes:   b.of(w).DiskBytes(),
		Utilization: b.engine.Stats().Utilization(),
	}
	for _, m := range all {
		sum.Tokens += m.Tokens
		sum.Bytes += m.Bytes
		if m.Tier == "hot" {
			sum.Hot++
		} else {
			sum.OnDisk++
		}
		if !m.Saved {
			sum.Dirty++
		}
		if m.Pinned {
			sum.Pinned++
		}
	}
	return writeJSON(w, http.StatusOK, sum)
}

// onAgent serves an action on one agent and answers with the agent as it is afterwards. A nil
// action does nothing.
func (s *Server) onAgent(action func(p engine.Principal, agent string) error) handler {
	return func(w *response, r *http.Request) error {
		b, err := s.loaded()
		if err != nil {
			return err
		}
		id := r.PathValue("id")
		if action != nil {
			if err := action(b.of(w), id); err != nil {
				return err
			}
		}
		m, err := b.of(w).Inspect(id)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, s.agentInfo(m))
	}
}

// pinAgent serves POST /v1/agents/{id}/pin and unpin. A body, which need not be there, says whether
// the agent is durable from now on.
func (s *Server) pinAgent(pin func(p engine.Principal, agent string) error) handler {
	return func(w *response, r *http.Request) error {
		var body struct {
			Durable *bool `json:"durable"` // nil: as it was
		}
		if err := readOptionalBody(w, r, &body); err != nil {
			return err
		}
		action := func(p engine.Principal, agent string) error {
			if err := pin(p, agent); err != nil || body.Durable == nil {
				return err
			}
			return p.SetDurable(agent, *body.Durable)
		}
		return s.onAgent(action)(w, r)
	}
}

// deleteAgent serves DELETE /v1/agents/{id}.
func (s *Server) deleteAgent(w *response, r *http.Request) error {
	b, err := s.loaded()
	if err != nil {
		return err
	}
	// The responses first: after the memory there would be no agent to try again with.
	if err := s.responses.Of(w.caller.principal).Forget(r.PathValue("id")); err != nil {
		return err
	}
	if err := b.of(w).Forget(r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// generateForAgent serves POST /v1/agents/{id}/generate: a chat where the body has messages, a
// completion where it has a prompt. The path says whose memory the request continues, whatever else
// agentName would look at.
func (s *Server) generateForAgent(w *response, r *http.Request) error {
	b, err := s.accepting()
	if err != nil {
		return err
	}
	body := new(openai.AgentRequest)
	if err := readBody(w, r, body); err != nil { // before anything that may wait: it has a deadline
		return err
	}
	// Where agents are not kept on disk, they cannot be created, and are made by their first
	// request.
	if id := r.PathValue("id"); b.engine.Durable() {
		known, err := b.of(w).Knows(id)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("agent %q: %w; POST /v1/agents creates it", id, engine.ErrNoMemory)
		}
	}
	g, err := s.beginWith(b, w, r, body)
	if err != nil {
		return err
	}
	defer g.Cancel()
	if body.IsCompletion() {
		return s.sendCompletion(w, r, g)
	}
	return s.sendChat(w, r, g)
}
