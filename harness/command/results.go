package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/terminal"
	"loadstone/harness/verify"
)

// results is the folder to which a measurement is written.
type results struct {
	dir       string
	fresh     bool // the folder did not exist before
	serverLog *os.File
	open      []*os.File // the files of the journal, while there is one
}

func newResults(dir string) (*results, error) {
	_, err := os.Stat(dir)
	r := &results{dir: dir, fresh: err != nil}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	// The access log is appended to by the server: an older one would be counted again.
	os.Remove(r.path("access.log"))
	r.serverLog, err = os.OpenFile(r.path("server.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("no place for the results: %w; give another with -out", err)
	}
	return r, nil
}

func (r *results) path(name string) string { return filepath.Join(r.dir, name) }

func (r *results) closeLogs() { r.serverLog.Close() }

// giveUp removes the folder of a measurement that measured nothing, if it was new. The log of a
// server that has failed stays, and the error then names it.
func (r *results) giveUp(err error) error {
	r.removeJournal()
	var coded *exitError
	info, statErr := r.serverLog.Stat()
	if !errors.As(err, &coded) && statErr == nil && info.Size() > 0 {
		return fmt.Errorf("%w (its log is %s)", err, r.path("server.log"))
	}
	if r.fresh {
		os.Remove(r.path("server.log"))
		os.Remove(r.path("access.log"))
		os.Remove(r.dir)
		os.Remove(filepath.Dir(r.dir)) // succeeds only if it is empty, too
	}
	return err
}

// write writes the raw records and every form of the report. It removes the journal once all
// records are in their file.
func (r *results) write(rep *report.Report, answers bool) error {
	err := errors.Join(writeRecords(r.dir, rep, answers), r.appendRest())
	if err == nil {
		err = sumRaw(r.dir, rep)
	}
	if err == nil {
		r.removeJournal()
	} else if _, statErr := os.Stat(r.path(journalFile)); statErr == nil {
		os.Remove(r.path("records.jsonl")) // a part of it would pass for the whole
		err = fmt.Errorf("%w; what was written of the requests is in %s, and loadstone report %s makes "+
			"the report of them when there is room", err, r.path(journalFile), r.dir)
	}
	return errors.Join(err, writeForms(r.dir, rep))
}

// writeRecords writes the records and samples that a report is made from.
func writeRecords(dir string, rep *report.Report, answers bool) error {
	var records []record.Record
	var samples []record.Sample
	for _, s := range rep.Results {
		records = append(append(records, s.Warmup...), s.Records...)
		samples = append(samples, s.Samples...)
	}
	return errors.Join(record.Write(filepath.Join(dir, "records.jsonl"), records, answers),
		record.WriteSamples(filepath.Join(dir, "samples.jsonl"), samples))
}

// restFile has those records of a long load that are not kept in memory, until the load has ended.
const restFile = "records.rest.jsonl"

// rest returns a function that writes records to restFile.
func (r *results) rest(answers bool) func([]record.Record) error {
	return func(batch []record.Record) error { return record.Append(r.path(restFile), batch, answers) }
}

// appendRest appends the records of restFile to records.jsonl, and leaves restFile as it is.
func (r *results) appendRest() error {
	from, err := os.Open(r.path(restFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(r.path("records.jsonl"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// writeForms writes everything that is made from a report. A form that fails does not keep the
// others from being written.
func writeForms(dir string, rep *report.Report) error {
	var failures []error
	for _, form := range verify.Forms {
		write := func(w io.Writer) error { return form.Write(rep, w) }
		if err := writeFile(filepath.Join(dir, form.Name), write); err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) > 1 { // for one reason, such as a full disk
		return fmt.Errorf("%w; %d more files were not written", failures[0], len(failures)-1)
	}
	return errors.Join(failures...)
}

// writeFile replaces a file by what write writes, or on an error, as of a full disk, leaves it as
// it was. What is not a regular file, such as /dev/stdout, it writes to directly.
func writeFile(path string, write func(io.Writer) error) error {
	part := path + ".part"
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		part = path
	}
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if part == path {
		return err
	}
	if err == nil {
		return os.Rename(part, path)
	}
	os.Remove(part)
	return fmt.Errorf("%s was not written: %w", path, err)
}

// printResults prints the results and the names of their files.
func printResults(e *env, dir string, rep *report.Report, asJSON bool) error {
	if asJSON {
		return rep.WriteJSON(e.stdout)
	}
	fmt.Fprintln(e.stdout)
	if err := rep.WriteTable(e.stdout, terminal.Color(e.stdout)); err != nil {
		return err
	}
	head := fmt.Sprintf("\nin %s:\n", dir)
	for _, file := range [][2]string{
		{"report.html", "to look at"},
		{"baseline.md", "the baseline document"},
		{"bench.txt", "for loadstone compare and benchstat"},
		{"summary.csv", "and requests.csv, for a spreadsheet"},
		{"results.json", "for programs"},
		{"records.jsonl", "every request; loadstone report makes the others from it again"},
	} {
		if _, err := os.Stat(filepath.Join(dir, file[0])); err != nil {
			continue // the records are elsewhere, or the disk was full
		}
		if _, err := fmt.Fprintf(e.stdout, "%s  %-13s  %s\n", head, file[0], file[1]); err != nil {
			return err
		}
		head = ""
	}
	return nil
}
