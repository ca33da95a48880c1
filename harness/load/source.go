package load

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Source is recorded traffic: single requests or sessions.
type Source struct {
	Form     string         // name of the format, one of SourceForms
	Requests []TraceRequest // set by formats without sessions
	Sessions []Session
	Timed    bool // the arrival times of the sessions (At) are known

	Skipped int      // number of requests that were left out because they have no answer
	Notes   []string // further remarks for the user
}

// A sourceForm is a format of recorded traffic.
type sourceForm struct {
	name string
	keys []string // keys that the first JSON object must have, or columns of a table
	read func(name string, r *bufio.Reader, unit time.Duration) (Source, error)
}

// sourceForms lists all formats. ReadSource uses the first whose keys are present.
var sourceForms = []sourceForm{
	{"loadstone's recordings", []string{"format", "version"}, readRecordingSource},
	{"Mooncake's requests", []string{"timestamp", "input_length"}, readMooncake},
	{"agentperf-local's replays", []string{"conversation_idx", "messages"}, readAgentPerf},
	{"Weka's traces (AgentX)", []string{"block_size", "requests"}, readWeka},
	{"TraceLab's rounds", []string{"session_id", "input_tokens_total"}, readTraceLab},
	{"GitHub Copilot's sessions (Azure)", []string{"session_id", "turns"}, readCopilot},
	{"OpenTelemetry's GenAI spans", []string{"spans"}, readOTel},
	{"BurstGPT's table", []string{"Timestamp", "Request tokens", "Response tokens"}, readBurstGPT},
	{"Azure's LLM table", []string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}, readAzureLLM},
}

// SourceForms returns the names of the formats that ReadSource knows.
func SourceForms() []string {
	var all []string
	for _, f := range sourceForms {
		all = append(all, f.name)
	}
	return all
}

// OpenSource reads recorded traffic from a file, or from all files of a folder and its folders
// whose names end in .json, .jsonl or .csv, compressed by gzip (.gz) or not. It skips manifests.
// unit is the unit of timestamps that have none of their own; with 0 the rule of [TraceReader]
// applies.
func OpenSource(path string, unit time.Duration) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Source{}, err
	}
	if !info.IsDir() {
		return openSource(path, unit)
	}
	var all Source
	err = filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !isTrace(e.Name()) {
			return err
		}
		s, err := openSource(name, unit)
		if err != nil {
			return err
		}
		return all.join(&s, name)
	})
	if err == nil && all.Form == "" {
		err = fmt.Errorf("%s: no file in it ends in .json, .jsonl or .csv", path)
	}
	return all, err
}

// isTrace reports whether a file in a folder of traces is a trace.
func isTrace(name string) bool {
	ext := filepath.Ext(strings.TrimSuffix(name, ".gz"))
	return slices.Contains([]string{".json", ".jsonl", ".csv"}, ext) &&
		!strings.HasPrefix(name, "manifest")
}

// join adds the traffic of a further file.
func (s *Source) join(file *Source, name string) error {
	switch {
	case s.Form == "":
		*s = *file
		return nil
	case s.Form != file.Form:
		return fmt.Errorf("%s: it has %s, and the files before it have %s; keep one format in a "+
			"folder", name, file.Form, s.Form)
	case len(file.Requests) > 0:
		return fmt.Errorf("%s: the requests of several files have no common clock; join the files",
			name)
	}
	s.Sessions = append(s.Sessions, file.Sessions...)
	s.Skipped += file.Skipped
	s.Notes = append(s.Notes, file.Notes...)
	slices.SortStableFunc(s.Sessions, byArrival)
	return nil
}

func openSource(path string, unit time.Duration) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return Source{}, err
	}
	defer f.Close()
	return ReadSource(path, f, unit)
}

// ReadSource reads recorded traffic, whose form it tells by the content. name is of the file, for
// errors, which have the line. It reads on while it makes sessions: no more than they themselves
// and one value of the file is in memory.
func ReadSource(name string, r io.Reader, unit time.Duration) (Source, error) {
	text := bufio.NewReaderSize(r, 1<<20)
	if magic, _ := text.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		plain, err := gzip.NewReader(text)
		if err != nil {
			return Source{}, fmt.Errorf("%s: %w", name, err)
		}
		text = bufio.NewReaderSize(plain, 1<<20)
	}
	begin, err := text.Peek(1 << 20)
	if err != nil && err != io.EOF {
		return Source{}, fmt.Errorf("%s:1: %w", name, err)
	}
	// Before a quote a byte order mark is no part of a table.
	if mark := []byte("\ufeff"); bytes.HasPrefix(begin, mark) {
		begin = begin[len(mark):]
		text.Discard(len(mark))
	}
	keys := firstKeys(begin)
	for _, f := range sourceForms {
		has := func(key string) bool { return slices.Contains(keys, key) }
		if !slices.ContainsFunc(f.keys, func(key string) bool { return !has(key) }) {
			s, err := f.read(name, text, unit)
			s.Form = f.name
			s.count()
			cut := errors.Is(err, io.ErrUnexpectedEOF) && len(s.Sessions) == 0
			if cut || errors.Is(err, gzip.ErrChecksum) {
				err = fmt.Errorf("%w: the file is cut off; fetch it again, or remove its last line",
					err)
			}
			return s, err
		}
	}
	return Source{}, unknownForm(name, begin, keys)
}

// count sets the number of calls of the sessions that have none yet.
func (s *Source) count() {
	for i := range s.Sessions {
		if s.Sessions[i].Count > 0 {
			continue
		}
		for range s.Sessions[i].Calls {
			s.Sessions[i].Count++
		}
	}
}

// unknownForm returns the error for traffic in an unknown format.
func unknownForm(name string, begin []byte, keys []string) error {
	begin = bytes.TrimSpace(begin)
	what := "it begins with the fields " + strings.Join(keys, ", ")
	switch {
	case len(begin) == 0:
		what = "it is empty"
	case bytes.HasPrefix(begin, []byte("\xff\xfe")) || bytes.HasPrefix(begin, []byte("\xfe\xff")):
		return fmt.Errorf("%s:1: the text is UTF-16; want UTF-8", name)
	case begin[0] == '[':
		what = "it is a JSON array, where forms have a value a line, as jq -c '.[]' makes them of one"
	case len(keys) == 0:
		what = fmt.Sprintf("it begins with %.40q", begin)
	}
	return fmt.Errorf("%s:1: recorded traffic in an unknown format: %s; known formats are %s", name,
		what, strings.Join(SourceForms(), ", "))
}

// firstKeys returns the keys of the first JSON object, as far as the text contains them, or the
// columns of a table.
func firstKeys(text []byte) []string {
	text = bytes.TrimLeft(text, "\ufeff \t\r\n")
	if len(text) == 0 || text[0] == '[' {
		return nil
	}
	if text[0] != '{' {
		line, _, _ := bytes.Cut(text, []byte("\n"))
		var columns []string
		for c := range strings.SplitSeq(string(line), ",") {
			columns = append(columns, strings.Trim(strings.TrimSpace(c), `"`))
		}
		if len(columns) < 3 {
			return nil
		}
		return columns
	}
	var keys []string
	tokens := json.NewDecoder(bytes.NewReader(text))
	depth, isKey := 0, false
	for {
		t, err := tokens.Token()
		if err != nil {
			return keys
		}
		switch d, _ := t.(json.Delim); {
		case d == '{' || d == '[':
			depth++
			isKey = depth == 1
			continue
		case d == '}' || d == ']':
			if depth--; depth == 0 {
				return keys
			}
		case depth == 1 && isKey:
			keys = append(keys, t.(string))
			isKey = false
			continue
		}
		isKey = depth == 1
	}
}

// readRecordingSource is the reader of Loadstone's recordings.
func readRecordingSource(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	sessions, cut, err := readRecording(name, r)
	s := Source{Sessions: sessions, Timed: true}
	if cut && err == nil {
		s.Notes = []string{name + ": the last line was cut off, and its call is left out"}
	}
	return s, err
}

// readMooncake is the reader of Mooncake's traces.
func readMooncake(name string, r *bufio.Reader, unit time.Duration) (Source, error) {
	t := TraceReader{Unit: unit}
	requests, err := t.Read(name, r)
	return Source{Requests: requests, Skipped: t.Skipped}, err
}

// alignArrivals sorts sessions by arrival and counts their times from the first.
func alignArrivals(sessions []Session) {
	slices.SortStableFunc(sessions, byArrival)
	begin := sessions[0].At
	for i := range sessions {
		sessions[i].At -= begin
	}
}

// byArrival compares sessions by their arrival times.
func byArrival(s, t Session) int { return int(min(1, max(-1, s.At-t.At))) }
