package grammar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// large are schemas that once took time or memory beyond proportion to their size, by name and
// size.
var large = map[string]func(n int) string{
	"nesting": func(n int) string {
		return strings.Repeat(`{"type":"object","properties":{"a":`, n) + `{"type":"string"}` +
			strings.Repeat(`},"required":["a"]}`, n)
	},
	"items": func(n int) string {
		return strings.Repeat(`{"items":`, n) + `true` + strings.Repeat(`}`, n)
	},
	"definitions": func(n int) string {
		var s strings.Builder
		s.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
		for i := range n {
			fmt.Fprintf(&s, `"d%d":{"type":"object","properties":{"a":{"$ref":"#/$defs/d%d"},`+
				`"b":{"$ref":"#/$defs/d%d"}}},`, i, i+1, i*7%n)
		}
		fmt.Fprintf(&s, `"d%d":{"const":7}}}`, n)
		return s.String()
	},
	"chain": func(n int) string {
		var s strings.Builder
		s.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
		for i := range n {
			fmt.Fprintf(&s, `"d%d":{"$ref":"#/$defs/d%d"},`, i, i+1)
		}
		fmt.Fprintf(&s, `"d%d":{"const":7}}}`, n)
		return s.String()
	},
	"unions": func(n int) string {
		return strings.Repeat(`{"anyOf":[{"type":"null"},{"type":"array","items":`, n) + `true` +
			strings.Repeat(`}]}`, n)
	},
	"enum": func(n int) string {
		return `{"enum":[` + strings.Repeat(`"abcdef",`, n) + `1]}`
	},
	"properties": func(n int) string {
		var s strings.Builder
		s.WriteString(`{"type":"object","properties":{`)
		for i := range n {
			fmt.Fprintf(&s, `"p%d":{"type":"string"},`, i)
		}
		return s.String() + `"z":{}}}`
	},
	"tagged": func(n int) string {
		var s strings.Builder
		s.WriteString(`{"oneOf":[`)
		for i := range n {
			fmt.Fprintf(&s, `{"type":"object","properties":{"kind":{"const":"k%d"}},"required":["kind"]},`, i)
		}
		return strings.TrimSuffix(s.String(), ",") + `]}`
	},
}

func TestScale(t *testing.T) {
	for name, schema := range large {
		for _, n := range []int{500, 1000, 2000, 4000} {
			source := []byte(schema(n))
			start := time.Now()
			g, unheld, err := Spec{Format: source, Loose: true}.Compile(context.Background())
			if err != nil {
				t.Fatal(name, err)
			}
			t.Logf("%s %d: %d bytes, %v, %d rules, %v", name, n, len(source), time.Since(start), len(g.rules), unheld)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Spec{Format: []byte(large["definitions"](100))}.Compile(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
