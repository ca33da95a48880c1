package server

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// readBody reads the JSON body of a request into v.
func readBody(w *response, r *http.Request, v any) error {
	b, err := bodyBytes(w, r)
	if err != nil {
		return err
	}
	return parseBody(b, v)
}

// readOptionalBody is readBody where a body need not be there: of an empty one, whatever its
// framing, v stays as it is.
func readOptionalBody(w *response, r *http.Request, v any) error {
	b, err := bodyBytes(w, r)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return err
	}
	return parseBody(b, v)
}

// bodyBytes reads the body of a request, without its Content-Encoding.
func bodyBytes(w *response, r *http.Request) ([]byte, error) {
	body, err := decompressed(w, r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, bodyError(err)
	}
	// limitBody's deadline would cut off a long answer, because the connection is read for its end.
	w.control.SetReadDeadline(time.Time{})
	return b, nil
}

func parseBody(b []byte, v any) error {
	if name := byteOrderMark(b); name != "" {
		return &generate.RequestError{Code: codeInvalidJSON, Message: "the body begins with " + name +
			"; want JSON in UTF-8 without one"}
	}
	if err := wire.Unmarshal(b, v); err != nil {
		return syntaxError(err)
	}
	return nil
}

const codeInvalidJSON = "invalid_json"

// acceptedCodings are the codings that decompressed knows. Zstandard and Brotli are not in Go's
// standard library.
const acceptedCodings = "gzip, deflate"

// decompressed returns the body without its Content-Encoding. What it yields is bounded like the
// body itself: a few bytes can expand to any number.
func decompressed(w *response, r *http.Request) (io.Reader, error) {
	var codings []string
	for _, line := range r.Header.Values("Content-Encoding") {
		for _, c := range strings.Split(line, ",") {
			if c = strings.ToLower(strings.TrimSpace(c)); c != "" && c != "identity" {
				codings = append(codings, c)
			}
		}
	}
	if len(codings) == 0 {
		return r.Body, nil
	}
	coding := strings.Join(codings, ", ")
	var (
		plain io.Reader
		err   error
	)
	switch coding {
	case "gzip", "x-gzip":
		plain, err = gzip.NewReader(r.Body)
	case "deflate":
		plain, err = inflated(r.Body)
	default:
		w.Header().Set("Accept-Encoding", acceptedCodings)
		return nil, &apiError{
			status: http.StatusUnsupportedMediaType, kind: kindInvalid,
			code: "unsupported_content_encoding",
			message: fmt.Sprintf("Content-Encoding %q is not known here; send the body as it is, "+
				"or as one of %s", coding, acceptedCodings),
		}
	}
	if err != nil {
		return nil, codingError(coding, err)
	}
	return &bounded{from: plain, coding: coding, left: w.maxBody, limit: w.maxBody}, nil
}

// inflated reads the coding deflate. That is zlib's format (RFC 9110, section 8.4.1.2), but several
// clients send what zlib's header would precede. It begins with no such header: the lower half of
// the first byte, 8, would be a block of plain bytes whose padding is not 0.
func inflated(body io.Reader) (io.Reader, error) {
	b := bufio.NewReader(body)
	head, _ := b.Peek(2) // where there is less, zlib says so
	if len(head) == 2 && (head[0]&15 != 8 || (int(head[0])<<8+int(head[1]))%31 != 0) {
		return flate.NewReader(b), nil
	}
	return zlib.NewReader(b)
}

// codingError says that a body is not in the coding that its head names. Errors of the connection
// pass unchanged.
func codingError(coding string, err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.Is(err, zlib.ErrHeader), errors.Is(err, zlib.ErrChecksum),
		errors.Is(err, zlib.ErrDictionary), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &corrupt):
		return &generate.RequestError{Code: "invalid_content_encoding",
			Message: fmt.Sprintf("the body is not in %s, which Content-Encoding names: %v", coding,
				err)}
	}
	return err
}

// A bounded reader yields at most limit bytes and then a *http.MaxBytesError.
type bounded struct {
	from        io.Reader
	coding      string
	left, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &http.MaxBytesError{Limit: b.limit}
	}
	if err != nil && err != io.EOF {
		err = codingError(b.coding, err)
	}
	return n, err
}

// byteOrderMark names the byte order mark that a body begins with, "" where it has none.
func byteOrderMark(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\uFEFF")):
		return "a byte order mark (EF BB BF)"
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return "a byte order mark of UTF-16 (FF FE)"
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return "a byte order mark of UTF-16 (FE FF)"
	}
	return ""
}

// bodyError tells a client that sent too much, nothing in time, or something that is not what it
// says, from a client that is gone. classify knows the errors of the former.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*generate.RequestError](err); ok {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("reading the body: %v: %w", err, context.Canceled)
}

// syntaxError says for the client what wire.Unmarshal found.
func syntaxError(err error) *generate.RequestError {
	var (
		request *generate.RequestError
		typed   *wire.TypeError
		twin    *wire.TwinError
	)
	switch {
	case errors.As(err, &request):
		return request
	case errors.As(err, &typed):
		return generate.Invalid(typed.Path, "%v", typed)
	case errors.As(err, &twin):
		return generate.Invalid(twin.Path, "%v", twin)
	}
	return &generate.RequestError{Code: codeInvalidJSON,
		Message: fmt.Sprintf("the body is not JSON: %v", err)}
}
