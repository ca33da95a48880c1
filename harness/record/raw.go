package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Write writes records as JSON Lines to a file that only its owner can read. The texts of answers
// are left out unless answers is true. Records have no prompts.
func Write(path string, records []Record, answers bool) error {
	return writeRecords(path, os.O_TRUNC, records, answers)
}

// Append adds records to a file that Write wrote, or makes one.
func Append(path string, records []Record, answers bool) error {
	return writeRecords(path, os.O_APPEND, records, answers)
}

func writeRecords(path string, flag int, records []Record, answers bool) error {
	return writeLines(path, flag, records, func(r *Record) {
		if !answers {
			r.Answer, r.Thought, r.Calls = "", "", ""
		}
	})
}

// Read reads what Write wrote. After an error it returns the records before it. In files of earlier
// versions an answer of which nothing came is ok; it is Empty.
func Read(r io.Reader) ([]Record, error) {
	records, err := readLines[Record](r)
	for i := range records {
		if one := &records[i]; one.Outcome == OK && one.FirstContent < 0 && len(one.Chunks) == 0 {
			one.Outcome = Empty
		}
	}
	return records, err
}

// WriteSamples writes samples as JSON Lines to a file that only its owner can read.
func WriteSamples(path string, samples []Sample) error {
	return writeLines(path, os.O_TRUNC, samples, func(*Sample) {})
}

// ReadSamples reads what WriteSamples wrote.
func ReadSamples(r io.Reader) ([]Sample, error) { return readLines[Sample](r) }

// writeLines writes a line of JSON for each value to a file. edit may change a copy of the value
// before it is written. The flag, os.O_TRUNC or os.O_APPEND, says what becomes of a file that is
// there. Where not all values can be written, as on a full disk, none is: a part would pass for the
// whole.
func writeLines[T any](path string, flag int, values []T, edit func(*T)) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o600)
	if err != nil {
		return err
	}
	before, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer func() {
		if err != nil {
			f.Truncate(before)
		}
		if err = errors.Join(err, f.Close()); err != nil && before == 0 {
			os.Remove(path)
		}
	}()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for _, v := range values {
		edit(&v)
		if err := enc.Encode(&v); err != nil {
			return err
		}
	}
	return w.Flush()
}

// readLines reads what writeLines wrote.
func readLines[T any](r io.Reader) ([]T, error) {
	dec := json.NewDecoder(bufio.NewReader(r))
	var values []T
	for {
		var v T
		switch err := dec.Decode(&v); err {
		case nil:
			values = append(values, v)
		case io.EOF:
			return values, nil
		default:
			return values, fmt.Errorf("record %d: %w", len(values)+1, err)
		}
	}
}
