package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// WriteRecords writes records as JSON Lines to a file that only its owner can read. Answers are left out unless asked
// for; prompts are in no record.
func WriteRecords(path string, records []Record, answers bool) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for _, r := range records {
		if !answers {
			r.Answer = ""
		}
		if err := enc.Encode(&r); err != nil {
			return err
		}
	}
	return w.Flush()
}

// ReadRecords reads what WriteRecords wrote.
func ReadRecords(r io.Reader) ([]Record, error) {
	dec := json.NewDecoder(bufio.NewReader(r))
	var records []Record
	for {
		var rec Record
		switch err := dec.Decode(&rec); err {
		case nil:
			records = append(records, rec)
		case io.EOF:
			return records, nil
		default:
			return records, fmt.Errorf("record %d: %w", len(records)+1, err)
		}
	}
}
