package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Write writes records as JSON Lines to a file that only its owner can read. Answers are left out unless asked
// for; prompts are in no record.
func Write(path string, records []Record, answers bool) error {
	return writeRecords(path, os.O_TRUNC, records, answers)
}

// Append adds records to a file of Write, or makes one.
func Append(path string, records []Record, answers bool) error {
	return writeRecords(path, os.O_APPEND, records, answers)
}

func writeRecords(path string, flag int, records []Record, answers bool) error {
	return writeLines(path, flag, records, func(r *Record) {
		if !answers {
			r.Answer = ""
		}
	})
}

// Read reads what Write wrote.
func Read(r io.Reader) ([]Record, error) { return readLines[Record](r) }

// WriteSamples writes samples as JSON Lines to a file that only its owner can read.
func WriteSamples(path string, samples []Sample) error {
	return writeLines(path, os.O_TRUNC, samples, func(*Sample) {})
}

// ReadSamples reads what WriteSamples wrote.
func ReadSamples(r io.Reader) ([]Sample, error) { return readLines[Sample](r) }

// writeLines writes a line of JSON for each value, a copy of which edit may change before, to a file that is truncated or
// appended to, as the flag says. Where not all of it can be written, as on a full disk, nothing is: a part would pass for the
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
