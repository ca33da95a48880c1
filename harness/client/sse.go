package client

import (
	"bufio"
	"bytes"
	"io"
)

// maxEvent bounds one event, in bytes: a server that never ends a line is broken, and no reason to
// run out of memory.
const maxEvent = 1 << 20

// events reads a stream of server-sent events and calls each with the data of every event that has
// any, in order, until the stream ends, each returns false, or reading fails. The slice is only
// valid during the call. Lines end in LF, CRLF, or CR LF split over two reads; comments and fields
// other than data are skipped; the data lines of one event are joined by LF. An event that the end
// of the stream cuts off is not delivered. This follows section 9.2.6 of the WHATWG's "Server-sent
// events".
//
// buffer is memory for reading; nothing of it is in use any more when events returns.
func events(r io.Reader, buffer []byte, each func(data []byte) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(buffer[:0], maxEvent)
	lines.Split(wholeLines)
	var data []byte
	has := false
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case len(line) == 0:
			if has && !each(data) {
				return nil
			}
			data, has = data[:0], false
		case bytes.HasPrefix(line, []byte("data:")), string(line) == "data":
			// A field without a colon is empty.
			value := bytes.TrimPrefix(line[min(len("data:"), len(line)):], []byte(" "))
			if has {
				data = append(data, '\n')
			}
			data, has = append(data, value...), true
		}
	}
	return lines.Err()
}

// wholeLines is bufio.ScanLines, except that it drops a last line that has no end.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		if atEOF {
			return len(data), nil, nil
		}
		return 0, nil, nil
	}
	return i + 1, bytes.TrimSuffix(data[:i], []byte("\r")), nil
}
