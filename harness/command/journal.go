package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/table"
	"loadstone/harness/verify"
)

// These are the files of a journal: the records of a load while it runs, half a second late at
// most, the samples of the server, and what else is known of the measurement. They are removed when
// the results are written. If the program was killed, or the disk was full, loadstone report makes
// the report from them.
const (
	journalFile = "records.part.jsonl"
	samplesFile = "samples.part.jsonl"
	headFile    = "results.part.json"
)

// A journal keeps on disk what has been measured so far. The measurement has it in memory as well,
// so a journal that cannot be written, as on a full disk, costs one note.
type journal struct {
	results *results
	env     *env
	answers bool // the texts of answers are kept

	mu               sync.Mutex
	records, samples *os.File
	began, failed    bool
}

// journal begins the journal of a measurement. Results of an earlier measurement in the folder are
// removed once there is something to write.
func (r *results) journal(e *env, rep *report.Report, answers bool) (*journal, error) {
	r.removeJournal()
	if err := writeFile(r.path(headFile), rep.WriteJSON); err != nil {
		return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	j := &journal{results: r, env: e, answers: answers}
	for _, file := range []struct {
		at   **os.File
		name string
	}{{&j.records, journalFile}, {&j.samples, samplesFile}} {
		// It is opened now, since a load may use up all files that can be open.
		f, err := os.OpenFile(r.path(file.name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
		}
		*file.at, r.open = f, append(r.open, f)
	}
	return j, nil
}

// addRecords writes records.
func (j *journal) addRecords(batch []record.Record) {
	j.write(func() error {
		return appendLines(j.records, batch, func(one record.Record) record.Record {
			if !j.answers {
				one.Answer, one.Thought, one.Calls = "", "", ""
			}
			return one
		})
	})
}

// addSamples writes samples.
func (j *journal) addSamples(batch []record.Sample) {
	j.write(func() error {
		return appendLines(j.samples, batch, func(s record.Sample) record.Sample { return s })
	})
}

// write calls lines, which writes to one of the files, unless an earlier call has failed.
func (j *journal) write(lines func() error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed {
		return
	}
	if !j.began {
		j.began = true
		j.results.removeEarlier()
	}
	if err := lines(); err != nil {
		j.failed = true
		fmt.Fprintf(j.env.stderr, "note: %v; the requests from now on are in memory alone until the "+
			"measurement has ended\n", err)
	}
}

// appendLines writes values, as edit changes them, as lines of JSON. On a full disk it keeps the
// lines that fit, and no part of a line.
func appendLines[T any](f *os.File, values []T, edit func(T) T) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, v := range values {
		if err := enc.Encode(edit(v)); err != nil {
			return err
		}
	}
	before, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	n, err := f.Write(lines.Bytes())
	if err != nil {
		whole := bytes.LastIndexByte(lines.Bytes()[:n], '\n') + 1
		f.Truncate(before + int64(whole))
	}
	return err
}

// removeEarlier takes away what an earlier measurement wrote: beside the journal of this one it
// would pass for its results.
func (r *results) removeEarlier() {
	names := append([]string{verify.ManifestFile, verify.SignatureFile}, verify.RawFiles...)
	for _, form := range verify.Forms {
		names = append(names, form.Name)
	}
	for _, name := range names {
		if info, err := os.Lstat(r.path(name)); err == nil && info.Mode().IsRegular() {
			os.Remove(r.path(name))
		}
	}
}

func (r *results) removeJournal() {
	for _, f := range r.open {
		f.Close()
	}
	r.open = nil
	for _, name := range []string{journalFile, samplesFile, restFile, headFile} {
		os.Remove(r.path(name))
	}
}

// hasJournal reports whether a folder has a measurement in it that did not come to its end.
func hasJournal(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, journalFile))
	return err == nil && info.Mode().IsRegular()
}

// readJournal makes a report of what a measurement that did not end had written. The last line of a
// file may be cut off.
func readJournal(dir string) (*report.Report, error) {
	var records []record.Record
	for _, name := range []string{journalFile, restFile} {
		part, err := readPart(filepath.Join(dir, name), record.Read)
		if err != nil {
			return nil, err
		}
		records = append(records, part...)
	}
	samples, err := readPart(filepath.Join(dir, samplesFile), record.ReadSamples)
	if err != nil {
		return nil, err
	}
	samples = record.Thin(samples)
	head, err := os.Open(filepath.Join(dir, headFile))
	var r *report.Report
	if err != nil {
		r, err = report.Read(nil, records, samples)
	} else {
		defer head.Close()
		r, err = report.Read(head, records, samples)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	r.Stopped = fmt.Sprintf("it was ended from outside, or still goes on; %s had been written",
		table.Plural(len(records), "request"))
	for _, v := range record.Check(records, -1) {
		r.Violations = append(r.Violations, v.String())
	}
	return r, nil
}

// readPart reads the lines of a file that may not be there, and whose last one may be cut off.
func readPart[T any](file string, read func(io.Reader) ([]T, error)) ([]T, error) {
	values, err := readLines(file, read)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	}
	return values, nil
}
