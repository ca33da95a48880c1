//go:build mlx && linux

package service

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"loadstone/engine/catalog"
)

// TestMemory: the peak memory of a server that loads and then reads a prompt of a thousand tokens
// is at most its weights, its KV pool and 300 MB. LOADSTONE_BENCH_FOLDER names one more model
// folder, for instance one that metal/shape has made.
func TestMemory(t *testing.T) {
	names := []string{"smollm2", "gemma3-270m"}
	if dir := os.Getenv("LOADSTONE_BENCH_FOLDER"); dir != "" {
		names = append(names, dir)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			if _, err := catalog.Open(name); err != nil {
				t.Skip(err) // the error says how to get the model
			}
			began := time.Now()
			p := startOn(t, name, BackendMLX)
			t.Logf("ready after %.1f s", time.Since(began).Seconds())
			p.complete(t, strings.Repeat("It was a dark and stormy night. ", 125))
			weights, pool, peak := p.gauge(t, "loadstone_weight_bytes"), p.gauge(t,
				"loadstone_pool_bytes"), p.peak(t)
			t.Logf("weights %.0f MB, KV pool %.0f MB, peak %.0f MB", weights/1e6, pool/1e6,
				peak/1e6)
			if weights < 50e6 || pool < 200e6 || peak < weights+pool/2 {
				t.Errorf("weights of %.0f MB, a pool of %.0f MB and a peak of %.0f MB cannot be",
					weights/1e6, pool/1e6, peak/1e6)
			}
			if peak > weights+pool+300e6 {
				t.Errorf("the process took %.0f MB, its weights %.0f MB and its KV pool %.0f MB",
					peak/1e6, weights/1e6, pool/1e6)
			}
		})
	}
}

func (p *process) complete(t *testing.T, prompt string) {
	t.Helper()
	resp, err := http.Post(p.url+"/v1/completions", "application/json",
		strings.NewReader(fmt.Sprintf(`{"prompt":%q,"max_tokens":16,"temperature":0}`, prompt)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %s, %v", resp.StatusCode, body, err)
	}
}

// gauge returns the value of a metric, summed over its labels.
func (p *process) gauge(t *testing.T, name string) (sum float64) {
	t.Helper()
	resp, err := http.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (.*)$`).FindAllSubmatch(body,
		-1) {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// peak returns the peak memory of the process, in bytes.
func (p *process) peak(t *testing.T) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	kib, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib * 1024
}
