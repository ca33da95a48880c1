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
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, `%d,`, i)
		}
		return `{"enum":[` + s.String() + `"x"],"anyOf":[{"type":"string","pattern":"^x"},{"minimum":5}]}`
	},
	"constants": func(n int) string {
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, `{"const":"c%d","description":"d"},`, i)
		}
		return `{"oneOf":[` + s.String() + `{"const":1}]}`
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

// TestScale checks that twice the schema takes about twice the rules, and no schema long.
func TestScale(t *testing.T) {
	for name, schema := range large {
		t.Run(name, func(t *testing.T) {
			var rules [2]int
			for i, n := range []int{1000, 2000} {
				start := time.Now()
				g, err := Schema([]byte(schema(n)))
				if err != nil {
					t.Fatal(err)
				}
				rules[i] = len(g.rules)
				if d := time.Since(start); d > time.Minute {
					t.Errorf("%d parts took %v", n, d)
				}
			}
			if rules[1] > 2*rules[0] {
				t.Errorf("%d rules for twice as many parts as with %d", rules[1], rules[0])
			}
		})
	}
}

// TestCancelled checks that compiling ends with its context.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Spec{Format: []byte(large["definitions"](100))}.Compile(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
