package load

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	"gotest.tools/v3/golden"
)

// transcript says what a source has in it, a line each call and message.
func transcript(s *Source) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, skipped %d, timed %t\n", s.Form, s.Skipped, s.Timed)
	for _, r := range s.Requests {
		fmt.Fprintf(&b, "request at %v: %d in, %d out, blocks %v\n", r.At, r.Input, r.Output, r.Blocks)
	}
	names := map[uint64]string{} // of seeds, in the order in which they come
	name := func(seed uint64) string {
		if names[seed] == "" {
			names[seed] = fmt.Sprintf("w%d", len(names))
		}
		return names[seed]
	}
	for _, session := range s.Sessions {
		fmt.Fprintf(&b, "session %s at %v\n", session.Name, session.At)
		for c := range session.Calls {
			fmt.Fprintf(&b, " call %d: from %d keep %d after %v, pause %v person %t, turn %d sub %d, max %d, %d tools\n",
				c.ID, c.From, c.Keep, c.After, c.Pause, c.Person, c.Turn, c.Sub, c.Answer, len(c.Tools))
			w := c.Recorded
			fmt.Fprintf(&b, "  was %q %s: %d in, %d cached, %d out, %v of %v\n", w.Text, w.ToolCalls, w.Prompt, w.Cached,
				w.Output, w.First, w.Took)
			for _, m := range c.Add {
				fmt.Fprintf(&b, "  + %s", m.Role)
				if m.Reply {
					b.WriteString(" (reply)")
				}
				if m.Quote != nil {
					fmt.Fprintf(&b, " (quotes %v)", m.Quote)
				}
				for _, w := range m.Words {
					fmt.Fprintf(&b, " %s:%d", name(w.Seed), w.Tokens)
				}
				fmt.Fprintf(&b, " %s\n", m.Raw)
			}
		}
	}
	return b.String()
}

// Every form of recorded traffic is told by its content, and says what its fixture says.
func TestSources(t *testing.T) {
	files, err := filepath.Glob("testdata/sources/*.*")
	assert.NilError(t, err)
	forms := map[string]bool{}
	for _, file := range files {
		if filepath.Ext(file) == ".golden" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			s, err := OpenSource(file, 0)
			assert.NilError(t, err)
			forms[s.Form] = true
			golden.Assert(t, transcript(&s), "sources/"+filepath.Base(file)+".golden")

			// The same through gzip, by the content as well.
			text, err := os.ReadFile(file)
			assert.NilError(t, err)
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			z.Write(text)
			z.Close()
			again, err := ReadSource("t", &packed, 0)
			assert.NilError(t, err)
			assert.Equal(t, transcript(&again), transcript(&s))

			// And with a byte order mark, before a quote as well, as spreadsheets write it.
			marked := "\ufeff" + string(text)
			if filepath.Ext(file) == ".csv" {
				column, rest, _ := strings.Cut(string(text), ",")
				marked = "\ufeff\"" + column + "\"," + rest
			}
			again, err = ReadSource("t", strings.NewReader(marked), 0)
			assert.NilError(t, err)
			assert.Equal(t, transcript(&again), transcript(&s))
		})
	}
	for _, form := range SourceForms() {
		if !forms[form] {
			t.Errorf("there is no fixture of %s", form)
		}
	}
}

// What cannot be read says the line and what to do.
func TestBadSources(t *testing.T) {
	fixture := func(name string) string {
		text, err := os.ReadFile("testdata/sources/" + name)
		assert.NilError(t, err)
		return string(text)
	}
	replace := func(name, old, new string) string {
		text := fixture(name)
		assert.Assert(t, strings.Contains(text, old), old)
		return strings.Replace(text, old, new, 1)
	}
	lines := func(name string, order ...int) string {
		all := strings.SplitAfter(fixture(name), "\n")
		text := ""
		for _, i := range order {
			text += all[i]
		}
		return text
	}
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "t:1: recorded traffic in an unknown format: it is empty; known formats are loadstone's recordings, "},
		{"unknown", `{"prompt":"hi","n":{"format":1}}`, "it begins with the fields prompt, n; known formats are"},
		{"prose", "Dear Sir", `it begins with "Dear Sir"; known formats are`},
		{"an array", `[{"timestamp": 0, "input_length": 6}, {}]`, "it is a JSON array, where forms have a value a line, as jq -c '.[]' makes them of one; known"},
		{"UTF-16", "\xff\xfe{\x00", "t:1: the text is UTF-16; want UTF-8"},
		{"agentperf, version", replace("agentperf.jsonl", `"version":1,"turn_id":"a:1"`, `"version":2,"turn_id":"a:1"`),
			"t:2: version 2 of agentperf-local's replays; this program reads version 1"},
		{"agentperf, unsorted", lines("agentperf.jsonl", 1, 0), "t:1: conversation a: call 1 follows call -1; sort the lines"},
		{"agentperf, truncated", fixture("agentperf.jsonl")[:1000], "t:2: the file is cut off within the value that begins here; fetch it again"},
		{"agentperf, garbage", lines("agentperf.jsonl", 0) + "\nnonsense\n", "t:3: not JSON"},
		{"agentperf, odd message", replace("agentperf.jsonl", `{"role":"user","content":"And the brakes?"}`, `{"content":"And?"}`),
			"t:3: conversation b: a message without a role"},
		{"weka, version", replace("weka.json", `"block_size": 64`, `"block_size": 0`), "t:1: trace w1: block_size 0"},
		{"weka, unsorted", replace("weka.json", `"t": 60,`, `"t": 6,`), "t:1: trace w1: request 4 is at 6 s, before the one before it, at 7 s; sort them by t"},
		{"weka, type", replace("weka.json", `"type": "s", "model": "m", "in": 260`, `"type": "x", "model": "m", "in": 260`), `the type "x"; want n, s or subagent`},
		{"weka, truncated", fixture("weka.json")[:900], "t:1: the file is cut off"},
		{"tracelab, time", replace("tracelab.jsonl", "2026-05-01T10:00:00Z", "yesterday"), `t:2: session claude:p: "yesterday" is not a date and time`},
		{"copilot, time", replace("copilot.jsonl", "2026-06-01T08:00:03.5Z", "08:00"), `t:2: session s1: "08:00" is not a date`},
		{"copilot, truncated", fixture("copilot.jsonl")[:700], "t:2: the file is cut off"},
		{"otel, cut attribute", replace("otel.json", `Which tyre?\"}]"`, `Which ty"`), "messages are cut off or not JSON"},
		{"otel, backwards", replace("otel.json", "2026-02-25T10:00:09Z", "2026-02-25T10:00:01Z"), "before it starts at"},
		{"burstgpt, unsorted", replace("burstgpt.csv", "118,", "18,"), "t:5: Timestamp 18 is earlier than the row before it; sort the table by Timestamp"},
		{"burstgpt, truncated", fixture("burstgpt.csv") + "119,Chat", "t:6: wrong number of fields; if the file was cut off, remove its last line"},
		{"azure, time", replace("azure.csv", "2023-11-16 18:15:50.9951690", "16/11/2023"), `t:3: "16/11/2023" is not a date`},
		{"azure, tokens", replace("azure.csv", ",396,", ",many,"), `t:3: ContextTokens "many": want 0 to`},
		{"recording, version", `{"format":"loadstone sessions","version":2}`, "t:1: a recording of version 2"},
		{"mooncake", `{"timestamp": 0, "input_length": 10}`, "t:1: want timestamp, input_length and output_length"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ReadSource("t", strings.NewReader(tc.text), 0)
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

// A folder is one source, in which all files have one form.
func TestFolderOfSources(t *testing.T) {
	dir := t.TempDir()
	put := func(name, from string) {
		text, err := os.ReadFile("testdata/sources/" + from)
		assert.NilError(t, err)
		assert.NilError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		assert.NilError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	_, err := OpenSource(dir, 0)
	assert.ErrorContains(t, err, "no file in it ends in")
	put("b/1.json", "weka.json")
	put("b/2.json", "weka.json")
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), []byte("{}"), 0o600))
	s, err := OpenSource(dir, 0)
	assert.NilError(t, err)
	assert.Equal(t, len(s.Sessions), 2)
	put("c.jsonl", "copilot.jsonl")
	_, err = OpenSource(dir, 0)
	assert.ErrorContains(t, err, "c.jsonl: it has GitHub Copilot's sessions (Azure), and the files before it have Weka's traces")
}

// A trace is read as a stream: what is in memory at the end is a few times its size, whatever form
// it has, and no more was taken from the system than ten times.
func TestSourcesInMemory(t *testing.T) {
	const size = 8 << 20
	text := strings.Repeat("Lorem ipsum dolor sit amet. ", 100)
	for _, tc := range []struct {
		name string
		line func(i int) string
	}{
		{"agentperf", func(i int) string {
			return fmt.Sprintf(`{"version":1,"conversation_id":"c%d","conversation_idx":0,"messages":[{"role":"user","content":"%s"}],"max_output_tokens":9}`, i, text)
		}},
		{"recording", func(i int) string {
			if i == 0 {
				return `{"format":"loadstone sessions","version":1}`
			}
			return fmt.Sprintf(`{"session":"s%d","call":0,"add":[{"raw":{"role":"user","content":"%s"}}]}`, i, text)
		}},
		{"tracelab", func(i int) string {
			return fmt.Sprintf(`{"session_id":"s%d","input_tokens_total":9000,"prefix_tokens":0,"output_tokens":9,"timing_events":[{"event_type":"text","timestamp":"2026-05-01T10:00:00Z"}]}`, i/20)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			read, write := io.Pipe()
			go func() {
				written := 0
				for i := 0; written < size; i++ {
					n, err := io.WriteString(write, tc.line(i)+"\n")
					if written += n; err != nil {
						break
					}
				}
				write.Close()
			}()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			s, err := ReadSource("t", read, 0)
			assert.NilError(t, err)
			runtime.ReadMemStats(&after)
			taken := after.Sys - before.Sys
			runtime.GC()
			runtime.ReadMemStats(&after)
			live := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			assert.Assert(t, live < 5*size, "%d bytes are live after %d were read", live, size)
			assert.Assert(t, taken < 10*size, "%d bytes were taken for %d", taken, size)
			assert.Assert(t, len(s.Sessions) > 1)
		})
	}
}
