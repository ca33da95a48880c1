package history

import (
	"encoding/json"
	"io"
	"time"
)

// These are a history as JSON. Levels are relative to the reference; sizes are relative changes.
type (
	historyJSON struct {
		Ratios  bool         `json:"ratios"`
		Window  int          `json:"window"`
		MaxP    float64      `json:"max_p"`
		MinSize float64      `json:"min_change"`
		Commits []commitJSON `json:"commits"`
		Series  []seriesJSON `json:"series"`
		Skipped []skipJSON   `json:"skipped"`
		Notes   []string     `json:"notes"`
	}
	commitJSON struct {
		Hash    string     `json:"hash"`
		Date    *time.Time `json:"date,omitempty"`
		Subject string     `json:"subject,omitempty"`
	}
	seriesJSON struct {
		Scenario    string       `json:"scenario"`
		Unit        string       `json:"unit"`
		Better      string       `json:"better,omitempty"`
		Differences bool         `json:"differences"`
		Reference   string       `json:"reference"`
		Points      []pointJSON  `json:"points"`
		Changes     []changeJSON `json:"changes"`
	}
	pointJSON struct {
		Commit      string  `json:"commit"`
		Level       float64 `json:"level"`
		Lo          float64 `json:"lo"`
		Hi          float64 `json:"hi"`
		Value       string  `json:"value,omitempty"`
		Measurement string  `json:"measurement"`
	}
	changeJSON struct {
		After   string  `json:"after"`
		By      string  `json:"by"`
		Commits int     `json:"commits,omitempty"`
		Size    float64 `json:"size"`
		Lo      float64 `json:"lo"`
		Hi      float64 `json:"hi"`
		P       float64 `json:"p"`
		From    float64 `json:"from"`
		To      float64 `json:"to"`
		Verdict string  `json:"verdict"`
	}
	skipJSON struct {
		Name string `json:"name"`
		Why  string `json:"why"`
	}
)

// WriteJSON writes the whole history: commits, points, changes, and what was skipped.
func (h *History) WriteJSON(w io.Writer) error {
	out := historyJSON{Ratios: h.Ratios, Window: h.Finder.Window, MaxP: h.Finder.MaxP,
		MinSize: h.Finder.MinMagnitude, Commits: []commitJSON{}, Series: []seriesJSON{},
		Skipped: []skipJSON{}, Notes: append([]string{}, h.Notes...)}
	for _, c := range h.Commits {
		k := commitJSON{Hash: c.Hash, Subject: c.Subject}
		if !c.Date.IsZero() {
			date := c.Date.UTC()
			k.Date = &date
		}
		out.Commits = append(out.Commits, k)
	}
	for i := range h.Series {
		out.Series = append(out.Series, h.seriesJSON(&h.Series[i]))
	}
	for _, s := range h.Skipped {
		out.Skipped = append(out.Skipped, skipJSON(s))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func (h *History) seriesJSON(s *Series) seriesJSON {
	out := seriesJSON{Scenario: s.Scenario, Unit: s.Unit, Differences: s.Differences,
		Better: map[int]string{-1: "lower", 1: "higher"}[s.Better], Reference: s.Reference.Hash,
		Points: []pointJSON{}, Changes: []changeJSON{}}
	for _, p := range s.Points {
		out.Points = append(out.Points, pointJSON{h.Commits[p.Commit].Hash, p.Level, p.Lo, p.Hi,
			p.Value, p.From})
	}
	for _, c := range s.Changes {
		out.Changes = append(out.Changes, changeJSON{c.After.Hash, c.By.Hash, c.Commits, c.Size, c.Lo,
			c.Hi, c.P, c.From, c.To, c.word()})
	}
	return out
}
