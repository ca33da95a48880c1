package metrics

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxScrape bounds one answer of /metrics, in bytes. A vLLM server's has some hundred thousand.
const maxScrape = 64 << 20

// Parse reads Prometheus' text format, version 0.0.4 of its "exposition formats". Metric types,
// help texts and timestamps are skipped. So are the series whose name is in quotes, which a server
// sends only to a client that asked for them.
//
// Note: the parser of the Prometheus project (prometheus/common/expfmt) would bring 34 packages,
// protobuf among them, into every program that imports the harness, which without it depends on 4
// packages outside the standard library. The test holds this parser to that one.
func Parse(r io.Reader) (Metrics, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxScrape))
	if err != nil {
		return nil, err
	}
	m := Metrics{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' || line[0] == '{' {
			continue
		}
		name, s, err := parseSeries(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		m[name] = append(m[name], s)
	}
	return m, nil
}

// parseSeries reads a line such as
//
//	http_requests_total{method="post",code="200"} 1027 1395066363000
func parseSeries(line string) (name string, s Series, err error) {
	end := strings.IndexAny(line, "{ \t")
	if end < 0 {
		return "", s, fmt.Errorf("%.40q has no value", line)
	}
	name, rest := line[:end], blankTrimmed(line[end:])
	if !isName(name) {
		return "", s, fmt.Errorf("%.40q is not the name of a metric", name)
	}
	if strings.HasPrefix(rest, "{") {
		if s.Labels, rest, err = parseLabels(rest[1:]); err != nil {
			return "", s, fmt.Errorf("%s: %w", name, err)
		}
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 || len(fields) > 2 {
		return "", s, fmt.Errorf("%s: want a value and perhaps a timestamp, not %.40q", name, rest)
	}
	if s.Value, err = strconv.ParseFloat(fields[0], 64); err != nil {
		return "", s, fmt.Errorf("%s: %.40q is not a number", name, fields[0])
	}
	return name, s, nil
}

// parseLabels reads the labels after an opening brace, and returns what follows the closing one.
func parseLabels(text string) (labels []Label, rest string, err error) {
	for {
		text = blankTrimmed(text)
		if rest, ok := strings.CutPrefix(text, "}"); ok {
			return labels, rest, nil
		}
		name, after, ok := strings.Cut(text, "=")
		name = strings.TrimRight(name, " \t")
		if after = blankTrimmed(after); !ok || !isName(name) || !strings.HasPrefix(after, `"`) {
			return nil, "", fmt.Errorf("want a label such as code=\"200\", not %.40q", text)
		}
		value, after, ok := cutQuoted(after[1:])
		if !ok {
			return nil, "", fmt.Errorf("the value of the label %s does not end", name)
		}
		labels = append(labels, Label{name, value})
		text = blankTrimmed(after)
		if after, ok = strings.CutPrefix(text, ","); ok {
			text = after
		} else if !strings.HasPrefix(text, "}") {
			return nil, "", fmt.Errorf("want a comma or a brace after the label %s", name)
		}
	}
}

// cutQuoted splits a text at the quote that ends it. A backslash stands before a quote, a
// backslash, or the n that stands for the end of a line.
func cutQuoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	from := 0 // the part of the text that is not in b yet
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			if from == 0 {
				return text[:i], text[i+1:], true
			}
			b.WriteString(text[from:i])
			return b.String(), text[i+1:], true
		case '\\':
			if i+1 == len(text) {
				return "", "", false
			}
			b.WriteString(text[from:i])
			switch i++; text[i] {
			case 'n':
				b.WriteByte('\n')
			case '"', '\\':
				b.WriteByte(text[i])
			default:
				return "", "", false
			}
			from = i + 1
		}
	}
	return "", "", false
}

func blankTrimmed(s string) string { return strings.TrimLeft(s, " \t") }

// isName reports whether s can name a metric or a label.
func isName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', c == ':':
		case '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}
