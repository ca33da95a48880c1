package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aParent = "b7ad6b7169203331"
)

// The cases of W3C's Trace Context, section 3.2, and of its test suite.
func TestTraceparent(t *testing.T) {
	valid := TraceContext{aTrace, aParent, true}
	for _, c := range []struct {
		values []string
		want   TraceContext
	}{
		{[]string{"00-" + aTrace + "-" + aParent + "-01"}, valid},
		{[]string{"00-" + aTrace + "-" + aParent + "-00"}, TraceContext{aTrace, aParent, false}},
		{[]string{"00-" + aTrace + "-" + aParent + "-03"}, valid},
		{[]string{"00-" + aTrace + "-" + aParent + "-fd"}, valid},
		{[]string{"00-" + aTrace + "-" + aParent + "-fe"}, TraceContext{aTrace, aParent, false}},
		{[]string{"cc-" + aTrace + "-" + aParent + "-01"}, valid},
		{[]string{"cc-" + aTrace + "-" + aParent + "-01-what-the-future-brings"}, valid},

		{nil, TraceContext{}},
		{[]string{""}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + aParent + "-01", "00-" + aTrace + "-" + aParent + "-01"}, TraceContext{}},
		{[]string{"ff-" + aTrace + "-" + aParent + "-01"}, TraceContext{}},
		{[]string{"cc-" + aTrace + "-" + aParent + "-01.what"}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + aParent + "-01-more"}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + aParent + "-1"}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + aParent}, TraceContext{}},
		{[]string{"0-" + aTrace + "-" + aParent + "-01"}, TraceContext{}},
		{[]string{"00-" + strings.Repeat("0", 32) + "-" + aParent + "-01"}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + strings.Repeat("0", 16) + "-01"}, TraceContext{}},
		{[]string{"00-" + strings.ToUpper(aTrace) + "-" + aParent + "-01"}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + strings.ToUpper(aParent) + "-01"}, TraceContext{}},
		{[]string{"00-" + aTrace[:31] + ".-" + aParent + "-01"}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + aParent + "-0x"}, TraceContext{}},
		{[]string{"00_" + aTrace + "_" + aParent + "_01"}, TraceContext{}},
		{[]string{" 00-" + aTrace + "-" + aParent + "-01"}, TraceContext{}},
		{[]string{"00-" + aTrace + "-" + aParent + "-01\n"}, TraceContext{}},
	} {
		if got := traceOf(http.Header{traceparent: c.values}); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.values, got, c.want)
		}
	}
}

// The access log, the log of errors and the span have a request's trace; of a header that is not
// valid they have nothing, and the request is answered all the same.
func TestTraceIsLogged(t *testing.T) {
	var access, errs bytes.Buffer
	var spans []Span
	s := New(Config{Model: "m", AccessLog: slog.New(slog.NewJSONHandler(&access, nil)),
		Log:    slog.New(slog.NewJSONHandler(&errs, nil)),
		OnSpan: func(s Span) { spans = append(spans, s) }})
	panics := s.handler
	s.handler = requestID(s.observed(s.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("a bug")
		}
		panics.ServeHTTP(w, r)
	}))))
	ask := func(path, value string) map[string]any {
		t.Helper()
		access.Reset()
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("traceparent", value)
		s.ServeHTTP(httptest.NewRecorder(), r)
		line, _, _ := bytes.Cut(access.Bytes(), []byte("\n"))
		if path == "/panic" {
			line = bytes.TrimSpace(access.Bytes())
		}
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%v: %s", err, access.String())
		}
		return record
	}
	if got := ask("/health/live", "00-"+aTrace+"-"+aParent+"-01")["trace"]; got != aTrace {
		t.Errorf("the access log has the trace %v", got)
	}
	if got, ok := ask("/health/live", "00-"+aTrace)["trace"]; ok {
		t.Errorf("the access log has the trace %v of a header that is not valid", got)
	}
	if got := ask("/panic", "00-"+aTrace+"-"+aParent+"-01")["trace"]; got != aTrace {
		t.Errorf("the access log of a panic has the trace %v", got)
	}
	if !strings.Contains(errs.String(), `"trace":"`+aTrace+`"`) {
		t.Errorf("the log of errors has no trace: %s", errs.String())
	}
	last := spans[len(spans)-1]
	if last.Trace != (TraceContext{aTrace, aParent, true}) || last.Status != 500 || last.Method != "GET" ||
		last.Start.IsZero() || last.Request == "" {
		t.Errorf("%+v", last)
	}
}
