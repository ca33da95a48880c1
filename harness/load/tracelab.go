package load

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// A traceLabRow is a line of TraceLab's corpus: a round, that is, a call.
type traceLabRow struct {
	Session  string `json:"session_id"`
	User     string `json:"user"`
	Project  string `json:"project"`
	Input    int    `json:"input_tokens_total"`
	Prefix   int    `json:"prefix_tokens"` // tokens of Input that the provider had in its cache
	Output   int    `json:"output_tokens"` // Thinking included
	Thinking int    `json:"reasoning_output_tokens"`
	Events   []struct {
		Type string `json:"event_type"`
		At   string `json:"timestamp"`
	} `json:"timing_events"`
	Tools []struct {
		Name    string  `json:"tool_name"`
		Emitted string  `json:"emitted_at"`
		Result  string  `json:"result_at"`
		Took    float64 `json:"tool_wall_latency_ms"`
	} `json:"tools"`
}

// A labRound is the part of a row that is kept until all rows are read.
type labRound struct {
	span
	input, prefix, output, thinking int
	person                          bool
	spawns                          []span
}

// A labSession is a session of TraceLab's.
type labSession struct {
	name, owner string // owner is the user and the project
	rounds      []labRound
	parent      *labSession
	spawn       span // tool call of the parent within which it ran
}

// minSpawn is the minimum time of a sub-agent. Shorter calls of the tool were refused.
const minSpawn = 10 * time.Second

// readTraceLab reads TraceLab's corpus (University of Washington, CC-BY-4.0): JSON Lines, one round
// per line. A round was sent at its last input event. The corpus has no texts: the tokens that the
// provider had in its cache are taken for those of the round before, the others for new ones.
//
// The corpus has no link from a sub-agent to its parent. A session is taken for the sub-agent of
// another session if both have the same user and project and it ran within a call of the other's
// tool Agent or Task; of several such calls the shortest counts.
//
// Tried on the two example sessions of its repository, 19 rounds of Claude Code and Codex.
func readTraceLab(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	source := Source{Timed: true}
	sessions := map[string]*labSession{}
	var order []*labSession
	rows := newValueReader(name, r)
	for {
		var row traceLabRow
		err := rows.next(&row)
		if err == io.EOF {
			break
		}
		if err != nil {
			return source, err
		}
		round, ok, err := row.round()
		if err != nil {
			return source, rows.errorf("session %s: %w", row.Session, err)
		}
		if !ok {
			source.Skipped++
			continue
		}
		s := sessions[row.Session]
		if s == nil {
			s = &labSession{name: row.Session, owner: row.User + "\x00" + row.Project}
			sessions[row.Session], order = s, append(order, s)
		}
		s.rounds = append(s.rounds, round)
	}
	if len(order) == 0 {
		return source, fmt.Errorf("%s: no round in it has a time and an answer", name)
	}
	for _, s := range order { // the corpus is not sorted by time
		slices.SortStableFunc(s.rounds, func(a, b labRound) int {
			return cmp.Compare(a.start, b.start)
		})
	}
	joined := joinSubagents(order)
	begin := slices.MinFunc(order, func(a, b *labSession) int {
		return cmp.Compare(a.rounds[0].start, b.rounds[0].start)
	}).rounds[0].start
	for _, s := range order {
		if s.parent == nil {
			source.Sessions = append(source.Sessions, s.session(joined[s], begin))
		}
	}
	slices.SortStableFunc(source.Sessions, byArrival)
	return source, nil
}

// round returns the round of a row. ok is false if the row has no time or no answer.
func (row *traceLabRow) round() (round labRound, ok bool, err error) {
	var sent, ended time.Duration
	for _, e := range row.Events {
		if e.At == "" {
			continue
		}
		at, err := timeOf(e.At)
		if err != nil {
			return round, false, err
		}
		switch e.Type {
		case "user_message", "tool_result":
			if at >= sent {
				sent, round.person = at, e.Type == "user_message"
			}
		case "text", "reasoning", "tool_call":
			ended = max(ended, at)
		}
	}
	for _, t := range row.Tools {
		if t.Name != "Agent" && t.Name != "Task" || t.Took < millis(minSpawn) {
			continue
		}
		from, err1 := timeOf(t.Emitted)
		to, err2 := timeOf(t.Result)
		if err1 == nil && err2 == nil {
			round.spawns = append(round.spawns, span{from, to})
		}
	}
	if sent == 0 {
		sent = ended
	}
	if row.Input < 0 || row.Prefix < 0 || row.Input > maxTrace || row.Output > maxTrace {
		return round, false, fmt.Errorf("%d tokens in, %d of them cached: want 0 to %d", row.Input,
			row.Prefix, maxTrace)
	}
	round.span = span{sent, max(sent, ended)}
	round.input, round.prefix = row.Input, min(row.Prefix, row.Input)
	round.output, round.thinking = max(row.Output, row.Thinking), row.Thinking
	return round, sent > 0 && round.input > 0 && round.output > 0, nil
}

// timeOf parses a date and time as the time since 1970. Without a time zone it is in UTC.
func timeOf(text string) (time.Duration, error) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if t, err := time.Parse(form, text); err == nil {
			return time.Duration(t.UnixNano()), nil
		}
	}
	return 0, fmt.Errorf("%q is not a date and time; want such as 2026-06-01T10:00:00Z", text)
}

// joinSubagents sets the parents of the sessions that are sub-agents, and returns the sub-agents of
// each parent.
func joinSubagents(all []*labSession) map[*labSession][]*labSession {
	type window struct {
		span
		of *labSession
	}
	windows := map[string][]window{}
	for _, s := range all {
		for _, r := range s.rounds {
			for _, w := range r.spawns {
				windows[s.owner] = append(windows[s.owner], window{w, s})
			}
		}
	}
	joined := map[*labSession][]*labSession{}
	for _, s := range all {
		from, to := s.rounds[0].start, s.rounds[len(s.rounds)-1].end
		var best *window
		for i, w := range windows[s.owner] {
			within := w.of != s && w.start <= from && to <= w.end
			if within && (best == nil || w.end-w.start < best.end-best.start) {
				best = &windows[s.owner][i]
			}
		}
		if best != nil {
			s.parent, s.spawn = best.of, best.span
		}
	}
	for _, s := range all {
		if s.parent != nil && s.parent.parent != nil {
			s.parent = nil // a sub-agent of a sub-agent stays a session of its own
		}
	}
	for _, s := range all {
		if s.parent != nil {
			joined[s.parent] = append(joined[s.parent], s)
		}
	}
	return joined
}

// labBlock is the number of tokens of a block, the unit in which prompts share beginnings.
const labBlock = 64

// session returns the session with its sub-agents as one.
func (s *labSession) session(subs []*labSession, begin time.Duration) Session {
	type one struct {
		*labRound
		agent, index int
	}
	agents := append([]*labSession{s}, subs...)
	var all []one
	for a, agent := range agents {
		for i := range agent.rounds {
			all = append(all, one{&agent.rounds[i], a, i})
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return cmp.Compare(a.start, b.start) })
	b := blockSession{block: labBlock, scope: Derive(0, "tracelab "+s.name)}
	last := make([]int, len(agents)) // last call of each agent
	blocks := make([][]uint64, len(agents))
	for i := range last {
		last[i] = -1
	}
	spans := make([]span, len(all))
	var minted uint64
	turn := 0
	for id, r := range all {
		spans[id] = r.span
		c := Call{ID: id, From: -1, Sub: r.agent, Person: r.person && r.index > 0,
			Answer: r.output}
		if r.agent == 0 && r.person && r.index > 0 {
			turn++
		}
		c.Turn = turn
		c.Recorded = &Recorded{Prompt: r.input, Cached: r.prefix, Output: r.output,
			Reasoning: r.thinking, Took: r.end - r.start}
		c.After = s.waits(agents, last, r.agent, r.start)
		c.Pause = pause(spans, id, c.After)
		prev := blocks[r.agent]
		n := r.input / labBlock
		now := slices.Clone(prev[:min(r.prefix/labBlock, len(prev), n)])
		for len(now) < n {
			minted++
			now = append(now, minted)
		}
		b.add(c, r.input, last[r.agent], prev, now)
		last[r.agent], blocks[r.agent] = id, now
	}
	return Session{Name: s.name, At: all[0].start - begin, SecretLast: true, Count: len(b.calls),
		Calls: b.all()}
}

// waits returns the calls that a call of an agent waits for: the agent's last call, and the last
// calls of sub-agents that had returned before it. The first call of a sub-agent waits for the
// parent's last call.
func (s *labSession) waits(agents []*labSession, last []int, agent int, start time.Duration) []int {
	if last[agent] < 0 && agent > 0 {
		agent = 0
	}
	var waits []int
	if last[agent] >= 0 {
		waits = append(waits, last[agent])
	}
	for a := 1; agent == 0 && a < len(agents); a++ {
		if last[a] > last[0] && agents[a].spawn.end <= start {
			waits = append(waits, last[a])
		}
	}
	return waits
}
