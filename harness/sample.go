package harness

import (
	"context"
	"sync"
	"time"
)

// A Sample is what the server said of itself at one moment of a run.
type Sample struct {
	Scenario string `json:"scenario"`
	Level    Level  `json:"level,omitzero"`
	Run      int    `json:"run"`

	At      time.Duration `json:"at_ns"`   // on the clock of the records
	Queue   float64       `json:"queue"`   // requests that wait; -1 unknown
	Running float64       `json:"running"` // requests being worked on; -1 unknown
	Pool    float64       `json:"pool"`    // part of the KV pool in use, 0 to 1, of its fuller part where it has two; -1 unknown
}

// gauges are the names that servers give to what a Sample holds: ours, vLLM's, SGLang's, llama.cpp's.
var gauges = [3][]string{
	{"loadstone_queue_depth", "vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"},
	{"loadstone_running", "vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"},
	{"loadstone_pool_utilization_ratio", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "llamacpp:kv_cache_usage_ratio"},
}

// sample reads the gauges; ok is false where the server knows none of them.
func (m Metrics) sample(at time.Duration) (s Sample, ok bool) {
	s = Sample{At: at}
	for i, v := range []*float64{&s.Queue, &s.Running, &s.Pool} {
		*v = -1
		for _, name := range gauges[i] {
			if *v = m.Value(name); *v >= 0 {
				ok = true
				break
			}
		}
	}
	if used := m.Value(poolLocals, "state", "used"); used > 0 {
		s.Pool = max(s.Pool, used/(used+m.Value(poolLocals, "state", "cached")+m.Value(poolLocals, "state", "free")))
	}
	return s, ok
}

// series is the samples of a run, at most maxSamples however long it is: when they are full, every two become one that has
// the larger value of each gauge, so that a peak stays.
type series struct {
	samples []Sample
	every   int // looks that make a sample; 0 is 1
	looks   int // in the last sample
}

const maxSamples = 2000

func (s *series) add(look Sample) {
	if s.every == 0 {
		s.every = 1
	}
	if n := len(s.samples); s.looks%s.every != 0 {
		s.samples[n-1] = merge(s.samples[n-1], look)
	} else {
		if n == maxSamples {
			for i := range n / 2 {
				s.samples[i] = merge(s.samples[2*i], s.samples[2*i+1])
			}
			s.samples, s.every = s.samples[:n/2], 2*s.every
		}
		s.samples, s.looks = append(s.samples, look), 0
	}
	s.looks++
}

func merge(a, b Sample) Sample {
	a.Queue, a.Running, a.Pool = max(a.Queue, b.Queue), max(a.Running, b.Running), max(a.Pool, b.Pool)
	return a
}

// peakPool is the highest utilisation among samples, or -1.
func peakPool(samples []Sample) float64 {
	peak := -1.0
	for _, s := range samples {
		peak = max(peak, s.Pool)
	}
	return peak
}

// watchServer samples the server from now until the function it returns is called. Between two looks a peak can pass
// unseen, so the highest sample is a lower bound. There is no sample of a server that tells nothing of itself.
func (c *Client) watchServer(ctx context.Context) (stop func() []Sample) {
	const every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	var seen series
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			at := c.Since()
			if m, err := c.Scrape(ctx); err == nil { // one that fails is only a look less
				sample, ok := m.sample(at)
				if !ok {
					return // a server that does not know it now never will
				}
				seen.add(sample)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() []Sample {
		cancel()
		watching.Wait()
		return seen.samples
	}
}
