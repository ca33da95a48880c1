package grammar

import (
	"fmt"
	"strings"
	"testing"
)

// benchSchemas are schemas of several kinds, all of which old and new versions compile.
func benchSchemas() map[string]string {
	tool := `{"type":"object","properties":{"path":{"type":"string"},"mode":{"enum":["add","rm"]},` +
		`"line":{"type":"integer","minimum":1,"maximum":100000},"tags":{"type":"array","items":` +
		`{"type":"string","maxLength":40},"maxItems":8},"deep":{"type":"object","properties":{"a":` +
		`{"type":"boolean"},"b":{"anyOf":[{"type":"null"},{"type":"number"}]}}}},"required":["path"]}`
	var properties, definitions strings.Builder
	few := "" // 10 KB of properties
	for i := range 300 {
		if few == "" && properties.Len() > 10_000 {
			few = properties.String()
		}
		fmt.Fprintf(&properties, `"p%d":%s,`, i, tool)
		fmt.Fprintf(&definitions, `"d%d":{"type":"object","properties":{"a":{"$ref":"#/$defs/d%d"}}},`,
			i, i+1)
	}
	return map[string]string{
		"tool":        tool,
		"10KB":        `{"type":"object","properties":{` + few + `"z":{}}}`,
		"large":       `{"type":"object","properties":{` + properties.String() + `"z":{}}}`,
		"definitions": `{"$ref":"#/$defs/d0","$defs":{` + definitions.String() + `"d300":{}}}`,
		"nesting":     strings.Repeat(`{"type":"object","properties":{"a":`, 500) + `{}` + strings.Repeat(`}}`, 500),
		"length":      `{"type":"string","maxLength":2000}`,
		"number":      `{"type":"number","minimum":1}`,
	}
}

// BenchmarkSchema measures compiling.
func BenchmarkSchema(b *testing.B) {
	for name, schema := range benchSchemas() {
		b.Run("schema="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Schema([]byte(schema)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
