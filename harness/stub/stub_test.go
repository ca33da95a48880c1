package stub

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/client/clienttest"
	"loadstone/harness/record"
	"loadstone/harness/stats"
)

const ms = time.Millisecond

// A stub server is on time: a client on a machine without latency measures no time at all.
func TestCalibrationWithoutLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := clienttest.Serve(t, Server(5*ms))
		f, err := Measure(t.Context(), c, 4, 10, 100*ms)
		assert.NilError(t, err)
		f.CPU = 0                                                     // the processor's time is not in the bubble
		assert.DeepEqual(t, f, Calibration{Streams: 4, Requests: 12}) // three rounds of 45 ms
	})
}

// The delay of a slow network between a stub server and the client is found where it is.
func TestCalibrationSeesDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := Server(5 * ms)
		c, _ := clienttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * ms) // on the way to the server
			server.ServeHTTP(w, r)
		}))
		f, err := Measure(t.Context(), c, 1, 10, 100*ms)
		assert.NilError(t, err)
		assert.Equal(t, f.TTFT, 3*ms)
		assert.Equal(t, f.First, time.Duration(0))

		c, _ = clienttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") }))
		_, err = Measure(t.Context(), c, 1, 10, 100*ms)
		assert.ErrorContains(t, err, "is not a stub server")
	})
}

func TestWhyInvalid(t *testing.T) {
	run := func(first, lag time.Duration, n int) record.Summary {
		var s record.Summary
		var ttft, lags stats.Durations
		for range n {
			ttft.Add(first)
			lags.Add(lag)
		}
		s.TTFT, s.Lag = ttft.Dist(), lags.Dist()
		return s
	}
	for _, tc := range []struct {
		name string
		s    record.Summary
		own  Calibration
		busy float64
		want string
	}{
		{"sound", run(20*ms, ms, 500), Calibration{Streams: 8, TTFT: ms}, 0.3, ""},
		{"late", run(20*ms, 3*ms, 500), Calibration{}, 0, "the client sent too late: p99 of its lag, 3ms, is 15 % of the first token's"},
		{"late, few requests", run(20*ms, 3*ms, 50), Calibration{}, 0, "p90 of its lag"},
		{"late, but by nothing", run(2*ms, ms/2, 500), Calibration{}, 0, ""},
		{"too few to say", run(20*ms, 3*ms, 5), Calibration{}, 0, ""},
		{"no slower than nothing", run(4*ms, 0, 500), Calibration{Streams: 8, TTFT: 2 * ms}, 0, "a server that takes no time measures 2ms to the first token at 8 streams, 50 % of the median here"},
		{"saturated", run(20*ms, 0, 500), Calibration{}, 0.9, "the client's processors were saturated: it used 90 %"},
		{"nothing answered", run(stats.Never, 0, 500), Calibration{TTFT: ms}, 0.9, ""},
	} {
		got := strings.Join(WhyInvalid(tc.s, tc.own, tc.busy), "; ")
		if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// The replay of a load on a server that computes nothing is the load's densest piece, as dense as
// it was.
func TestReplay(t *testing.T) {
	var records []record.Record
	at := func(due, took time.Duration, tokens int) {
		records = append(records, record.Record{Due: due, Sent: due, End: due + took, Chunks: make([]time.Duration, tokens), Outcome: record.OK})
	}
	for i := range 10 { // one a second, then ten within 90 ms, three times over
		at(time.Duration(i)*time.Second, 50*ms, 5)
	}
	for burst := range 3 {
		for i := range 10 {
			at(20*time.Second+time.Duration(burst)*300*ms+time.Duration(i)*10*ms, 100*ms, 20)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		replay, ok := NewReplay(records)
		assert.Assert(t, ok)
		assert.Equal(t, len(replay.Due), 30)
		assert.Equal(t, replay.Due[29], 690*ms)
		assert.Equal(t, replay.Tokens, 20)
		assert.Equal(t, replay.Interval, 5*ms)
		c, _ := clienttest.Serve(t, Server(replay.Interval))
		f, err := replay.Measure(t.Context(), c)
		assert.NilError(t, err)
		f.CPU = 0
		assert.DeepEqual(t, f, Calibration{Streams: 10, Rate: 29 / (690 * ms).Seconds(), Requests: 30}) // an answer takes 95 ms
	})

	for i := range records { // answers that take too long for a replay
		records[i].End = records[i].Sent + 10*time.Second
	}
	replay, ok := NewReplay(records)
	assert.Assert(t, ok)
	assert.Equal(t, len(replay.Due), record.MaxInFlight(records))
	assert.Equal(t, replay.Due[len(replay.Due)-1], time.Duration(0))
	assert.Equal(t, replay.Interval, 500*ms)
	assert.Equal(t, replay.Tokens, 4)

	for i := range records {
		records[i].Outcome = record.Failed
	}
	_, ok = NewReplay(records)
	assert.Assert(t, !ok, "nothing was answered")
}
