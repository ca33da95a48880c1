package soak_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness"
	"loadstone/harness/client/clienttest"
	"loadstone/harness/load"
	"loadstone/harness/metrics"
	"loadstone/harness/soak"
)

// A server in memory that is as it is told to be, hour after hour; what it holds goes up and down
// as that of a server does.
type server struct {
	start time.Time

	memory func(hours float64) float64 // MiB
	wait   func(hours float64) time.Duration
	hits   func(hours float64) float64
	files  func(hours float64) float64

	mu  sync.Mutex
	rng *rand.Rand
	saw float64 // of the garbage collector
}

// steady is one that stays as it was.
func steady(seed uint64) *server {
	return &server{
		start:  time.Now(),
		rng:    rand.New(rand.NewPCG(seed, 16)),
		memory: func(float64) float64 { return 400 },
		wait:   func(float64) time.Duration { return 80 * time.Millisecond },
		hits:   func(float64) float64 { return 0.93 },
		files:  func(float64) float64 { return 12 },
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	hours := time.Since(s.start).Hours()
	noise := func() float64 { return s.rng.NormFloat64() }
	switch r.URL.Path {
	case "/metrics":
		s.saw += 1 + s.rng.Float64()
		if s.saw > 60 {
			s.saw = 0
		}
		text := fmt.Sprintf("process_resident_memory_bytes %.0f\nprocess_open_fds %.0f\n"+
			"go_goroutines %d\nloadstone_saved_bytes 1000\n",
			(s.memory(hours)+s.saw+2*noise())*(1<<20), s.files(hours)+2*s.rng.Float64(),
			20+s.rng.IntN(8))
		s.mu.Unlock()
		fmt.Fprint(w, text)
	case "/v1/chat/completions":
		wait := time.Duration(float64(s.wait(hours)) * max(0.2, 1+0.15*noise()))
		cached := min(max(int(1000*(s.hits(hours)+0.03*noise())), 0), 1000)
		s.mu.Unlock()
		if text, _ := io.ReadAll(r.Body); bytes.Count(text, []byte(`"role"`)) == 1 {
			cached = 0 // nobody has asked it before
		}
		time.Sleep(wait)
		fmt.Fprintf(w, `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{`+
			`"prompt_tokens":1000,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":%d}}}`, cached)
	default:
		s.mu.Unlock()
		w.WriteHeader(http.StatusNotFound)
	}
}

// soaked is what becomes of an hour, or another time, of two agents.
func soaked(t *testing.T, length time.Duration, of func() *server,
	change ...func(*harness.Plan)) (report *soak.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, _ := clienttest.Serve(t, of())
		plan := harness.Plan{Loads: []load.Load{{Concurrency: 2, Duration: length,
			Turns: load.Fixed(10), Think: load.Amount{Kind: "exponential", A: 2},
			Prompt: load.Fixed(20), Answer: load.Fixed(1)}}}
		for _, f := range change {
			f(&plan)
		}
		_, r, err := soak.Soak{Plan: plan}.Run(t.Context(), c)
		assert.NilError(t, err)
		report = r
	})
	return report
}

// names are the series that have a trend to the worse.
func names(r *soak.Report) string {
	var all []string
	for _, v := range r.Worse() {
		all = append(all, v.Name)
	}
	return strings.Join(all, ", ")
}

// A server that stays as it was has no trend, nor has one whose caches fill at first.
func TestSteady(t *testing.T) {
	for seed := range uint64(3) {
		r := soaked(t, time.Hour, func() *server { return steady(seed) })
		assert.Equal(t, names(r), "")
		assert.Equal(t, len(r.Windows), 50)
		for _, v := range r.Verdicts {
			assert.Equal(t, v.Standing, soak.Steady, "%s %s", v.Name, v.Text())
		}
	}
	r := soaked(t, time.Hour, func() *server {
		s := steady(7)
		s.memory = func(hours float64) float64 { return 400 + 80*min(1, hours/0.4) }
		return s
	})
	assert.Equal(t, names(r), "")
}

// Each planted fault is found in an hour, and no other is named with it.
func TestPlantedTrends(t *testing.T) {
	for _, tc := range []struct {
		name, want, text string
		plant            func(*server)
	}{
		{"leaks 1 MB a minute", "memory", `rises by (5\d|6[0-4])\.`, func(s *server) {
			s.memory = func(hours float64) float64 { return 400 + 57.2*hours }
		}},
		{"slows down by a quarter an hour", "first token", "rises by", func(s *server) {
			s.wait = func(hours float64) time.Duration {
				return time.Duration(80e6 * (1 + hours/4))
			}
		}},
		{"loses three hits of a hundred", "hit ratio", "falls by", func(s *server) {
			s.hits = func(hours float64) float64 { return 0.93 - 0.03*hours }
		}},
		{"forgets to close a file every six minutes", "open files", "rises by", func(s *server) {
			s.files = func(hours float64) float64 { return 12 + 10*hours }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(3) {
				r := soaked(t, time.Hour, func() *server { s := steady(seed); tc.plant(s); return s })
				assert.Equal(t, names(r), tc.want)
				text := r.Worse()[0].Text()
				assert.Assert(t, regexp.MustCompile("^"+tc.text).MatchString(text), text)
			}
		})
	}
}

// A restart takes a leak's memory away, and the leak is found all the same; a server that does not
// leak begins with less after each restart, which is no trend.
func TestRestarts(t *testing.T) {
	for _, leak := range []float64{0, 80} {
		restarts := 0
		var s *server
		r := soaked(t, 2*time.Hour, func() *server {
			s = steady(5)
			s.memory = func(hours float64) float64 { return 400 + leak*hours + 30*min(1, 20*hours) }
			return s
		}, func(p *harness.Plan) {
			p.MaintainEvery = 30 * time.Minute
			p.Maintain = func(context.Context) error {
				restarts++
				time.Sleep(2 * time.Second)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.start = time.Now()
				return nil
			}
		})
		assert.Equal(t, restarts, 3)
		assert.Equal(t, len(r.Lives()), 3)
		assert.Equal(t, names(r) == "memory", leak > 0, "leak of %g MiB an hour: %q", leak, names(r))
	}
}

// What rises early and stands still afterwards is settled: the test alone would call it a trend.
func TestSettled(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var windows []soak.Window
	for i := range 100 {
		files := 10 + 0.2*float64(min(i, 50)) + 4*rng.Float64()
		windows = append(windows, soak.Window{Start: time.Duration(i) * time.Minute,
			End: time.Duration(i+1) * time.Minute, Requests: 10, TTFT: -1, HitRatio: -1,
			Held: metrics.State{metrics.OpenFiles: files}})
	}
	for _, v := range soak.Judge(windows) {
		want := soak.Unknown
		if v.Name == "open files" {
			want = soak.Settled
		}
		assert.Equal(t, v.Standing, want, "%s %s", v.Name, v.Text())
	}
}

// Memory that rises as the KV pool fills up is named as that; a leak beside it is a trend, whether
// the pool fills up or not.
func TestFilling(t *testing.T) {
	for leak, want := range map[float64]soak.Standing{0: soak.Filling, 2: soak.Worse} {
		rng := rand.New(rand.NewPCG(1, 1))
		var windows []soak.Window
		for i := range 50 {
			pool := 4 * float64(i)
			memory := 300 + pool + leak*float64(i) + 5*rng.Float64()
			windows = append(windows, soak.Window{Start: time.Duration(i) * time.Minute,
				End: time.Duration(i+1) * time.Minute, Requests: 10, TTFT: -1, HitRatio: -1,
				Held: metrics.State{metrics.Memory: memory * (1 << 20), metrics.PoolContent: pool * (1 << 20)}})
		}
		for _, v := range soak.Judge(windows) {
			if v.Name == "memory" {
				assert.Equal(t, v.Standing, want, v.Text())
			}
		}
	}
}

// A few minutes tell nothing, and that is said.
func TestTooShort(t *testing.T) {
	r := soaked(t, 30*time.Second, func() *server { return steady(1) })
	assert.Assert(t, r.Short())
	assert.Equal(t, names(r), "")

	// In one window caches fill: it is not judged, though the server has told what it holds.
	for _, v := range soak.Judge(r.Windows[:1]) {
		assert.Equal(t, v.Standing, soak.TooShort)
		assert.Equal(t, v.Text(), "no window is judged; a trend takes 10")
	}
}
