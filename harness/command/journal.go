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

	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/table"
)

// While a load runs, its records go to a journal, half a second late at most, and what else is
// known of the measurement is beside it. Both are gone when everything is written. Where the
// program was killed, or there was no room, report makes the report of them.
const (
	journalFile = "records.part.jsonl"
	headFile    = "results.part.json"
)

// journal begins a measurement's: it takes away what an earlier one left in the folder, once there
// is a first record, and returns what writes records. A journal that cannot be written, as on a
// full disk, is said once; the records are in memory all the same.
func (r *results) journal(e *env, rep *report.Report, answers bool) (func([]record.Record), error) {
	r.removeJournal()
	if err := writeFile(r.path(headFile), rep.WriteJSON); err != nil {
		return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	// It is opened now, since a load may use up all files that can be open.
	f, err := os.OpenFile(r.path(journalFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	r.open = f
	began, failed := false, false
	return func(batch []record.Record) {
		if failed {
			return
		}
		if !began {
			began = true
			r.removeEarlier()
		}
		if err := appendRecords(f, batch, answers); err != nil {
			failed = true
			fmt.Fprintf(
				e.stderr,
				"note: %v; the requests from now on are in memory alone until the "+
					"measurement has ended\n",
				err,
			)
		}
	}, nil
}

// appendRecords writes records. Where there is no room for all, those that fit stay, in whole
// lines.
func appendRecords(f *os.File, records []record.Record, answers bool) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, one := range records {
		if !answers {
			one.Answer = ""
		}
		if err := enc.Encode(&one); err != nil {
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
	for _, name := range append([]string{"records.jsonl", "samples.jsonl"}, formNames...) {
		if info, err := os.Lstat(r.path(name)); err == nil && info.Mode().IsRegular() {
			os.Remove(r.path(name))
		}
	}
}

func (r *results) removeJournal() {
	if r.open != nil {
		r.open.Close()
		r.open = nil
	}
	for _, name := range []string{journalFile, restFile, headFile} {
		os.Remove(r.path(name))
	}
}

// formNames are the files that are made from a report.
var formNames = []string{"results.json", "bench.txt", "summary.csv", "requests.csv", "baseline.md",
	"report.html"}

// hasJournal tells whether a folder has a measurement in it that did not come to its end.
func hasJournal(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, journalFile))
	return err == nil && info.Mode().IsRegular()
}

// readJournal makes a report of what a measurement that did not end had written. The last line may
// be cut off.
func readJournal(dir string) (*report.Report, error) {
	var records []record.Record
	for _, name := range []string{journalFile, restFile} {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		part, err := record.Read(f)
		f.Close()
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
		records = append(records, part...)
	}
	head, err := os.Open(filepath.Join(dir, headFile))
	var r *report.Report
	if err != nil {
		r, err = report.Read(nil, records, nil)
	} else {
		defer head.Close()
		r, err = report.Read(head, records, nil)
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
