package record

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/assert"
)

func TestRecordsOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.jsonl")
	records := []Record{
		{Place: Place{Scenario: "x", Agent: "a"}, Chunks: []time.Duration{1, 2}, Outcome: OK, Answer: "secret"},
		{Place: Place{Scenario: "x"}, Outcome: Refused, Error: "no"},
	}
	assert.NilError(t, Write(path, records, false))
	info, err := os.Stat(path)
	assert.NilError(t, err)
	assert.Equal(t, info.Mode().Perm(), os.FileMode(0o600))
	f, err := os.Open(path)
	assert.NilError(t, err)
	defer f.Close()
	got, err := Read(f)
	assert.NilError(t, err)
	records[0].Answer = ""
	assert.DeepEqual(t, got, records)

	got, err = Read(strings.NewReader(`{"scenario":"x"}` + "\n" + `{"scena`))
	assert.ErrorContains(t, err, "record 2")
	assert.Equal(t, len(got), 1)
}

// Records that cannot all be written are not written: a file stays as it was before, or absent.
func TestNoHalfFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines.jsonl")
	same := func(*any) {}
	half := []any{strings.Repeat("x", 1<<16), func() {}} // a function has no JSON
	assert.ErrorContains(t, writeLines(path, os.O_TRUNC, half, same), "unsupported type")
	_, err := os.Stat(path)
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.NilError(t, writeLines(path, os.O_TRUNC, []any{1}, same))
	assert.ErrorContains(t, writeLines(path, os.O_APPEND, half, same), "unsupported type")
	text, err := os.ReadFile(path)
	assert.NilError(t, err)
	assert.Equal(t, string(text), "1\n")
}

func TestSamplesKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl")
	want := []Sample{{Scenario: "a", Run: 1, At: 5, Queue: 2, Running: -1, Pool: 0.5}, {Scenario: "b"}}
	if err := WriteSamples(path, want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadSamples(bytes.NewReader(text))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
