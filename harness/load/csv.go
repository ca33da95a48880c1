package load

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// readBurstGPT reads BurstGPT's tables (Wang et al., CC-BY-4.0): the time of each request in
// seconds, and its tokens.
func readBurstGPT(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	at := func(text string) (time.Duration, error) {
		s, err := strconv.ParseFloat(text, 64)
		if err != nil || !(s >= 0 && s < 1e9) {
			return 0, fmt.Errorf("time %q: want seconds from 0 on", text)
		}
		return time.Duration(math.Round(s * float64(time.Second))), nil
	}
	t := tableReader{"Timestamp", "Request tokens", "Response tokens", at}
	return t.read(name, r)
}

// readAzureLLM reads Azure's tables of 2023 and 2024 (CC-BY): the date and time of each request,
// and its tokens.
func readAzureLLM(name string, r *bufio.Reader, _ time.Duration) (Source, error) {
	t := tableReader{"TIMESTAMP", "ContextTokens", "GeneratedTokens", timeOf}
	return t.read(name, r)
}

// A tableReader reads a table of requests.
type tableReader struct {
	at, input, output string // names of the columns
	time              func(string) (time.Duration, error)
}

func (t *tableReader) read(name string, r io.Reader) (Source, error) {
	var source Source
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil {
		return source, fmt.Errorf("%s: %w", name, err)
	}
	columns := map[string]int{}
	for i, c := range head {
		columns[strings.TrimSpace(strings.TrimPrefix(c, "\ufeff"))] = i
	}
	var begin, last time.Duration
	for first := true; ; first = false {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
				return source, fmt.Errorf("%s:%d: %w; if the file was cut off, remove its last line",
					name, wrong.Line, wrong.Err)
			}
			return source, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := rows.FieldPos(0)
		at, req, err := t.request(columns, row)
		switch {
		case err != nil:
		case first:
			begin = at
		case at < last:
			err = fmt.Errorf("%s %s is earlier than the row before it; sort the table by %[1]s", t.at,
				row[columns[t.at]])
		}
		if err != nil {
			return source, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		last = at
		if req.Input == 0 || req.Output == 0 {
			source.Skipped++
			continue
		}
		req.At = at - begin
		source.Requests = append(source.Requests, req)
	}
	if len(source.Requests) == 0 {
		return source, fmt.Errorf("%s: no request in it has an answer", name)
	}
	return source, nil
}

// request parses a row.
func (t *tableReader) request(columns map[string]int, row []string) (
	at time.Duration, req TraceRequest, err error) {
	if at, err = t.time(strings.TrimSpace(row[columns[t.at]])); err != nil {
		return at, req, err
	}
	for column, to := range map[string]*int{t.input: &req.Input, t.output: &req.Output} {
		text := strings.TrimSpace(row[columns[column]])
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n != math.Trunc(n) || n < 0 || n > maxTrace {
			return at, req, fmt.Errorf("%s %q: want 0 to %d tokens", column, text, maxTrace)
		}
		*to = int(n)
	}
	return at, req, nil
}
