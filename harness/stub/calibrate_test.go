package stub

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/proc"
	"loadstone/harness/record"
)

// The test binary is a stub server when it is started with this argument and an interval.
const stubArgument = "stub-server"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == stubArgument {
		proc.FollowParent()
		interval, err := time.ParseDuration(os.Args[2])
		if err == nil {
			err = Serve(context.Background(), os.Stdout, "127.0.0.1:0", interval)
		}
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// startSelf is a Starter, as a program has one that can be its own stub server.
func startSelf(ctx context.Context, interval time.Duration) (*proc.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return proc.Start(ctx, io.Discard, self, stubArgument, interval.String())
}

// A library user calibrates with one call: against a stub server in another process, at several
// numbers of streams, and under a load as it was.
func TestCalibrate(t *testing.T) {
	all, err := Calibrate(t.Context(), startSelf, []int{1, 3}, 4, ms, 20*ms)
	assert.NilError(t, err)
	assert.Equal(t, len(all), 2)
	for i, streams := range []int{1, 3} {
		c := all[i]
		assert.Equal(t, c.Streams, streams)
		assert.Assert(t, c.Requests >= streams && c.Requests%streams == 0, "%+v", c)
		assert.Assert(t, c.TTFT > 0 && c.TTFT99 >= c.TTFT && c.Late99 >= c.Late, "%+v", c)
	}

	var records []record.Record
	for i := range 5 {
		due := time.Duration(i) * 10 * ms
		records = append(records, record.Record{Outcome: record.OK, Due: due, Sent: due,
			End: due + 20*ms, Chunks: make([]time.Duration, 4)})
	}
	c, ok, err := CalibrateLike(t.Context(), startSelf, records)
	assert.NilError(t, err)
	assert.Assert(t, ok)
	assert.Equal(t, c.Requests, 5)
	assert.Equal(t, c.Rate, 100.0)
	_, ok, err = CalibrateLike(t.Context(), startSelf, nil)
	assert.Assert(t, !ok && err == nil)
}

// A stub server that does not start is an error, with its last words.
func TestCalibrateWithoutServer(t *testing.T) {
	start := func(ctx context.Context, _ time.Duration) (*proc.Process, error) {
		self, _ := os.Executable()
		return proc.Start(ctx, io.Discard, self, stubArgument, "soon")
	}
	_, err := Calibrate(t.Context(), start, []int{1}, 4, ms, ms)
	_, ok := errors.AsType[*proc.ExitError](err)
	assert.Assert(t, ok, "%v", err)
	assert.ErrorContains(t, err, `invalid duration "soon"`)
}
