package accesslog

import (
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"
)

func TestRead(t *testing.T) {
	log, err := Read(strings.NewReader(`time=2026-01-01 msg="model ready"
REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 12.34ms
2026/01/01 00:00:00 REQUEST: POST /v1/chat/completions STATUS: 429 LATENCY: 0.05ms
REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 1.2.3ms
REQUEST: POST /v1/chat/completions STATUS: 200 LATENCY: 7.00ms
`))
	assert.NilError(t, err)
	chat := func(status int) Route { return Route{"POST", "/v1/chat/completions", status} }
	assert.DeepEqual(t, log, Log{Skipped: 2, Routes: map[Route][]time.Duration{
		chat(200): {12340 * time.Microsecond, 7 * time.Millisecond},
		chat(429): {50 * time.Microsecond},
	}})
}
