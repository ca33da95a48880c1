package liars

import (
	"slices"
	"strings"
	"time"

	"loadstone/harness/stats"
)

// A Figure names a figure of a measurement, most of them as package figure does. Times are in
// seconds.
type Figure string

// The figures of the truth.
const (
	TTFT50     Figure = "p50-ttft"
	TTFT95     Figure = "p95-ttft"
	TTFT99     Figure = "p99-ttft"
	Content50  Figure = "p50-content" // until the first token of the answer itself, after reasoning
	TPOT50     Figure = "p50-tpot"
	ITL99      Figure = "p99-itl"
	ITLMax     Figure = "max-itl"
	E2E50      Figure = "p50-e2e"
	ErrorRatio Figure = "error-ratio" // requests that were not answered in full, refused ones as well
	HitRatio   Figure = "hit-ratio"   // of prompts that nobody has sent before
	// AnswerMean is the mean number of tokens of an answer.
	AnswerMean Figure = "answer-tokens"
)

// isTime reports whether the figure is in seconds.
func (f Figure) isTime() bool {
	return strings.HasPrefix(string(f), "p") || strings.HasPrefix(string(f), "max")
}

// An Outcome is how a request really ended.
type Outcome string

// The outcomes.
const (
	Answered  Outcome = "ok"
	Failed    Outcome = "failed"
	Cut       Outcome = "truncated" // the client cannot know that the answer is whole
	Refused   Outcome = "rejected"
	Cancelled Outcome = "cancelled" // by the client
)

// A Request is the truth about one request. Times are in seconds from when it came; -1 is never.
type Request struct {
	Number  int       `json:"number"` // from 1 on
	Came    time.Time `json:"came"`
	Outcome Outcome   `json:"outcome"`
	Lied    bool      `json:"lied,omitempty"` // it met the lie, where only some do

	First  float64   `json:"first_s"` // the answer's first token on the wire
	Tokens []float64 `json:"tokens_s"`
	End    float64   `json:"end_s"`
	// Cold is First as it would be of a prompt that nobody has asked before.
	Cold float64 `json:"cold_s"`

	Asked  int  `json:"max_tokens"`
	Again  bool `json:"again,omitempty"` // somebody has sent this very prompt before
	Prompt int  `json:"prompt_tokens"`
	Cached int  `json:"cached_tokens"` // that really were
}

// A Truth is what a server really did. Its Figures are those of the requests that ask for
// AnswerTokens tokens, as loads do: a tool may try a server with others. Where none does, they are
// those of the requests of the length that most of them ask for.
type Truth struct {
	Liar     string             `json:"liar"`
	Scale    float64            `json:"scale"`
	Figures  map[Figure]float64 `json:"figures"`
	Requests []Request          `json:"requests"`
}

// Truth returns what the server did until now.
func (s *Server) Truth() Truth {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := Truth{Liar: s.liar.Name, Scale: s.scale, Requests: slices.Clone(s.log)}
	t.Figures = s.figures()
	return t
}

// A sum is what figures are made of.
type sum struct {
	first, tpot, gaps, end  []time.Duration
	asked, answered, tokens int
	prompt, cached          int // tokens of prompts that nobody had sent before
}

// figures are those of the log.
func (s *Server) figures() map[Figure]float64 {
	var all sum
	length := s.usualLength()
	for i := range s.log {
		if r := &s.log[i]; r.Outcome != Cancelled && r.Asked == length {
			all.add(r, s.liar.remembers)
		}
	}
	if s.liar.pauses {
		all.first = s.anyMoment()
	}
	return all.figures()
}

// add adds a request, whose first token is that of a new prompt where cold says so.
func (a *sum) add(r *Request, cold bool) {
	if a.asked++; r.Outcome != Answered {
		return
	}
	a.answered++
	if a.tokens += len(r.Tokens); !r.Again {
		a.prompt, a.cached = a.prompt+r.Prompt, a.cached+r.Cached
	}
	at := r.First
	if cold {
		at = r.Cold
	}
	a.first, a.end = append(a.first, duration(at)), append(a.end, duration(r.End))
	n := len(r.Tokens)
	for j := 1; j < n; j++ {
		if gap := r.Tokens[j] - r.Tokens[j-1]; gap > 0 { // tokens of one piece have none
			a.gaps = append(a.gaps, duration(gap))
		}
	}
	if n > 1 {
		a.tpot = append(a.tpot, duration((r.Tokens[n-1]-r.Tokens[0])/float64(n-1)))
	}
}

// figures are those of the sum. One of nothing is not there.
func (a *sum) figures() map[Figure]float64 {
	f := map[Figure]float64{}
	if d := stats.Describe(a.first); d.N > 0 {
		f[TTFT50], f[TTFT95], f[TTFT99] = d.P50.Seconds(), d.P95.Seconds(), d.P99.Seconds()
		f[Content50] = f[TTFT50]
		f[E2E50] = stats.Describe(a.end).P50.Seconds()
	}
	if d := stats.Describe(a.tpot); d.N > 0 {
		f[TPOT50] = d.P50.Seconds()
	}
	if d := stats.Describe(a.gaps); d.N > 0 {
		f[ITL99], f[ITLMax] = d.P99.Seconds(), d.Max.Seconds()
	}
	if a.asked > 0 {
		f[ErrorRatio] = 1 - float64(a.answered)/float64(a.asked)
	}
	if a.answered > 0 {
		f[AnswerMean] = float64(a.tokens) / float64(a.answered)
	}
	if a.prompt > 0 {
		f[HitRatio] = float64(a.cached) / float64(a.prompt)
	}
	return f
}

// usualLength is the number of tokens that the requests of a load ask for.
func (s *Server) usualLength() int {
	asked, usual := map[int]int{}, 0
	for i := range s.log {
		n := s.log[i].Asked
		if asked[n]++; asked[n] > asked[usual] {
			usual = n
		}
	}
	if asked[AnswerTokens] > 0 {
		return AnswerTokens
	}
	return usual
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

// anyMoment are the times to first token of requests that come at any moment of the load, whether
// or not a tool sent one then: what its users wait.
func (s *Server) anyMoment() []time.Duration {
	if len(s.log) == 0 {
		return nil
	}
	from, to := s.log[0].Came, s.log[0].Came
	for i := range s.log {
		if s.log[i].Came.Before(from) {
			from = s.log[i].Came
		}
		if s.log[i].Came.After(to) {
			to = s.log[i].Came
		}
	}
	base := s.times(firstToken + time.Duration(s.log[0].Prompt)*promptToken)
	const moments = 2000
	var waits []time.Duration
	for i := range moments {
		at := from.Add(to.Sub(from) * time.Duration(i) / moments)
		waits = append(waits, s.awake(s.awake(at).Add(base)).Sub(at))
	}
	return waits
}
