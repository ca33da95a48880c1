package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"loadstone/engine"
)

// An agent is a name and the memory behind it. Any request that names one makes it (see identity); one that was created
// here is on disk before its first request. Nothing here touches the model: an agent is looked at without being woken.
//
// The last part of these paths may be an agent's name as well, so it must not be one.
var reserved = []string{"import", "stats"}

// agentInfo is what is known of an agent. The names are those of the original's API.
type agentInfo struct {
	Object       string     `json:"object"`
	AgentID      string     `json:"agent_id"`
	Tier         string     `json:"tier"`   // hot: in the pool, all of it; warm: on disk, or in part
	Tokens       int        `json:"tokens"` // of the conversation as it was left last
	Bytes        int64      `json:"bytes"`  // of its KV
	Dirty        bool       `json:"dirty"`  // the disk does not have it, or not as it is now
	Pinned       bool       `json:"pinned"`
	ModelID      string     `json:"model_id"`
	CreatedAt    *time.Time `json:"created_at"`
	LastAccessed *time.Time `json:"last_accessed"`
}

func (s *Server) agentInfo(m engine.Memory) agentInfo {
	return agentInfo{Object: "agent", AgentID: m.Agent, Tier: m.Tier, Tokens: m.Tokens, Bytes: m.Bytes, Dirty: !m.Saved, Pinned: m.Pinned,
		ModelID: s.cfg.Model, CreatedAt: orNever(m.Created), LastAccessed: orNever(m.Used)}
}

func orNever(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Truncate(time.Millisecond))
}

// memories returns the engine that has the agents. Unlike for new work, draining is no reason against it.
func (s *Server) memories() (*engine.Engine, error) {
	b := s.backend.Load()
	if b == nil {
		return nil, loadingError{s.loading.Load()}
	}
	return b.engine, nil
}

// createAgent serves POST /v1/agents: the agent is on disk when the answer goes out.
func (s *Server) createAgent(w *response, r *http.Request) error {
	b, err := s.open()
	if err != nil {
		return err
	}
	var q struct {
		AgentID string `json:"agent_id"` // "": the server finds one
	}
	if err := readBody(w, r, &q); err != nil {
		return err
	}
	q.AgentID = cmp.Or(q.AgentID, newID("agent_"))
	if err := checkAgent("agent_id", q.AgentID); err != nil {
		return err
	}
	m, err := b.engine.Create(q.AgentID)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/agents/"+m.Agent)
	return writeJSON(w, http.StatusCreated, s.agentInfo(m))
}

// most agents in one list, also where the client would have more.
const listMost = 1000

// listAgents serves GET /v1/agents, by name or, with ?sort=recent, the last used first; ?limit=N and ?after=NAME turn pages.
func (s *Server) listAgents(w *response, r *http.Request) error {
	e, err := s.memories()
	if err != nil {
		return err
	}
	query, limit := r.URL.Query(), listMost
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > listMost {
			return invalid("limit", "limit: %q; want 1 to %d", text, listMost)
		}
	}
	all, err := e.Agents() // by name
	if err != nil {
		return err
	}
	switch by := query.Get("sort"); by {
	case "", "name":
	case "recent":
		slices.SortStableFunc(all, func(a, b engine.Memory) int { return b.Used.Compare(a.Used) })
	default:
		return invalid("sort", "sort: %q; want name or recent", by)
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

// agentStats serves GET /v1/agents/stats: the list in numbers.
func (s *Server) agentStats(w *response, r *http.Request) error {
	e, err := s.memories()
	if err != nil {
		return err
	}
	all, err := e.Agents()
	if err != nil {
		return err
	}
	st := e.Stats()
	sum := struct {
		Hot         int     `json:"hot_count"`
		Warm        int     `json:"warm_count"`
		Total       int     `json:"total_count"`
		Dirty       int     `json:"dirty_count"`
		Pinned      int     `json:"pinned_count"`
		Tokens      int     `json:"total_tokens"`
		Bytes       int64   `json:"total_bytes"`
		Disk        int64   `json:"disk_bytes"`
		Utilization float64 `json:"pool_utilization"` // 0 to 1
	}{Total: len(all), Disk: st.DiskBytes, Utilization: st.Utilization()}
	for _, m := range all {
		sum.Tokens += m.Tokens
		sum.Bytes += m.Bytes
		if m.Tier == "hot" {
			sum.Hot++
		} else {
			sum.Warm++
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

// onAgent serves what is done to one agent and answers with what it is afterwards.
func (s *Server) onAgent(do func(*engine.Engine, string) error) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) error {
		e, err := s.memories()
		if err != nil {
			return err
		}
		id := r.PathValue("id")
		if err := do(e, id); err != nil {
			return err
		}
		m, err := e.Inspect(id)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, s.agentInfo(m))
	}
}

func inspect(*engine.Engine, string) error { return nil }

func (s *Server) deleteAgent(w *response, r *http.Request) error {
	e, err := s.memories()
	if err != nil {
		return err
	}
	if err := e.Forget(r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// exportAgent serves GET /v1/agents/{id}/export: the memory as one file, as it lies on the disk.
func (s *Server) exportAgent(w *response, r *http.Request) error {
	e, err := s.memories()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(id)+`.safetensors"`)
	err = e.Export(id, w)
	switch {
	case err == nil:
	case w.status == 0:
		w.Header().Del("Content-Disposition")
		return err
	default:
		w.outcome = statusClientClosed
		panic(http.ErrAbortHandler) // half of a file is out: only a broken connection keeps it from passing for a whole one
	}
	return nil
}

// fileName is a name that is safe everywhere.
func fileName(id string) string {
	if !isName(id) {
		return "agent"
	}
	return id
}

// importPath is where files are taken in, which are larger than limitBody allows elsewhere.
const importPath = "/v1/agents/import"

// importAgent serves POST /v1/agents/import: a file of export, in place of what there is of its agent. It is read as it
// comes and never as a whole; the engine bounds it by its quota before it believes a byte of it.
func (s *Server) importAgent(w *response, r *http.Request) error {
	b, err := s.open()
	if err != nil {
		return err
	}
	m, err := b.engine.Import(&upload{r.Body, w})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.agentInfo(m))
}

// An upload may take as long as it likes while it moves.
type upload struct {
	body io.Reader
	w    *response
}

func (u *upload) Read(b []byte) (int, error) {
	u.w.control.SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's recorder has none
	n, err := u.body.Read(b)
	if err != nil && err != io.EOF && !os.IsTimeout(err) {
		err = bodyError(err)
	}
	return n, err
}

// generate serves POST /v1/agents/{id}/generate: a chat where the body has messages, a completion where it has a prompt.
// The path says which agent's it is, over all that identity would look at.
func (s *Server) generate(w *response, r *http.Request) error {
	b, err := s.open()
	if err != nil {
		return err
	}
	// Where nothing is durable an agent cannot be created, and comes to be with its first request.
	if id := r.PathValue("id"); b.engine.Durable() {
		known, err := b.engine.Knows(id)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("agent %q: %w; POST /v1/agents creates it", id, engine.ErrNoMemory)
		}
	}
	q := new(generateRequest)
	g, err := s.begin(w, r, q)
	if err != nil {
		return err
	}
	defer g.cancel()
	if q.text != nil {
		return s.completionAnswer(w, g)
	}
	return s.chatAnswer(w, g)
}

// A generateRequest is the body of either of OpenAI's APIs.
type generateRequest struct {
	chat *chatRequest
	text *completionRequest
}

func (q *generateRequest) UnmarshalJSON(b []byte) error {
	var which struct {
		Messages, Prompt json.RawMessage
	}
	if err := json.Unmarshal(b, &which); err != nil {
		return err
	}
	if orNil(which.Prompt) == nil {
		q.chat = new(chatRequest)
		return json.Unmarshal(b, q.chat)
	}
	if orNil(which.Messages) != nil {
		return invalid("prompt", "prompt: beside messages; want one of the two")
	}
	q.text = new(completionRequest)
	return json.Unmarshal(b, q.text)
}

func (q *generateRequest) named() (model, session string) {
	if q.text != nil {
		return q.text.named()
	}
	return q.chat.named()
}

func (q *generateRequest) ask(defaultMax int) (*ask, error) {
	if q.text != nil {
		return q.text.ask(defaultMax)
	}
	return q.chat.ask(defaultMax)
}
