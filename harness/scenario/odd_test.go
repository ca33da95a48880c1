package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
)

// What an editor adds and nobody sees is no part of a scenario.
func TestInvisible(t *testing.T) {
	const plain = "-- load --\nconcurrency: 1\nrequests: 8\n-- expect --\nrejected == 0\n"
	for name, text := range map[string]string{
		"byte order mark":         "\ufeff" + plain,
		"CRLF":                    strings.ReplaceAll(plain, "\n", "\r\n"),
		"mark and CRLF":           "\ufeff" + strings.ReplaceAll(plain, "\n", "\r\n"),
		"blank behind a section":  strings.ReplaceAll(plain, " --\n", " -- \n"),
		"tab behind a section":    strings.ReplaceAll(plain, " --\n", " --\t\n"),
		"hard space behind it":    strings.ReplaceAll(plain, " --\n", " --\u00a0\n"),
		"blanks and CRLF":         strings.ReplaceAll(plain, " --\n", " --  \r\n"),
		"nothing after the last":  strings.TrimSuffix(plain, "\n"),
		"section without a break": plain + "-- system.txt -- ",
	} {
		f, err := Parse("x.txtar", []byte(text))
		assert.NilError(t, err, name)
		assert.Equal(t, f.Load.Requests, 8, name)
		assert.Equal(t, len(f.Expect), 1, name)

		if !strings.Contains(name, "section") && !strings.Contains(name, "behind") && !strings.Contains(name, "blanks") {
			dir := t.TempDir()
			load := strings.Replace(strings.Replace(text, "-- load --\n", "", 1), "-- load --\r\n", "", 1)
			load, _, _ = strings.Cut(load, "-- expect --")
			assert.NilError(t, os.WriteFile(filepath.Join(dir, "load"), []byte(load), 0o600))
			f, err = Read(dir)
			assert.NilError(t, err, name)
			assert.Equal(t, f.Load.Requests, 8, name)
		}
	}
	// Lines keep their numbers.
	_, err := Parse("x.txtar", []byte("\ufefftext\n-- load -- \nnonsense: 3\n"))
	assert.ErrorContains(t, err, "x.txtar:3: there is no key nonsense")
	_, err = Parse("x.txtar", []byte("\xff\xfe-\x00-\x00"))
	assert.ErrorContains(t, err, "x.txtar:1: the text is UTF-16; want UTF-8")
}

// A trace's unit can be said, and must be where it is in seconds that are no dates.
func TestTraceUnit(t *testing.T) {
	const trace = `-- trace.jsonl --
{"timestamp": 0.2, "input_length": 10, "output_length": 1}
{"timestamp": 0.9, "input_length": 10, "output_length": 0}
{"timestamp": 0.95, "input_length": 10, "output_length": 1}
{"timestamp": 1.7, "input_length": 10, "output_length": 1}
`
	_, err := Parse("x.txtar", []byte("-- load --\ntrace: trace.jsonl\n"+trace))
	assert.ErrorContains(t, err, "seem to be seconds")
	assert.ErrorContains(t, err, "add timestamps: s, or timestamps: ms")
	f, err := Parse("x.txtar", []byte("-- load --\ntrace: trace.jsonl\ntimestamps: s\n"+trace))
	assert.NilError(t, err)
	assert.Equal(t, f.Load.Trace[1].At, 950*time.Millisecond)
	assert.DeepEqual(t, f.Notes, []string{"1 of 4 requests in the trace have no answer and are " +
		"left out: there is none to ask for"})
	_, err = Parse("x.txtar", []byte("-- load --\ntrace: trace.jsonl\ntimestamps: hours\n"+trace))
	assert.ErrorContains(t, err, `x.txtar:3: timestamps: "hours"; want s, ms, us or ns`)
	_, err = Parse("x.txtar", []byte("-- load --\nconcurrency: 1\nrequests: 1\ntimestamps: s\n"))
	assert.ErrorContains(t, err, "timestamps needs a load with trace")
}

func TestBodyAndHeaders(t *testing.T) {
	f, err := Parse("x.txtar", []byte(`-- load --
concurrency: 1
requests: 1
body: temperature= max_completion_tokens=@max_tokens chat_template_kwargs={"thinking": false}
header: X-Team: storage
header: api-key: sesame
`))
	assert.NilError(t, err)
	assert.Equal(t, f.Body.String(), `chat_template_kwargs={"thinking":false} max_completion_tokens=@max_tokens temperature=`)
	assert.DeepEqual(t, f.Headers, []load.Header{{Name: "X-Team", Value: "storage"}, {Name: "api-key", Value: "sesame"}})
	_, err = Parse("x.txtar", []byte("-- load --\nconcurrency: 1\nbody: temperature\n"))
	assert.ErrorContains(t, err, `x.txtar:3: body: "temperature" is not a field`)
}
