package openai

import (
	"fmt"
	"strings"
	"testing"

	"loadstone/server/internal/wire"
)

// BenchmarkRequest reads and checks the body of a long conversation: 200 messages of about 1 kB,
// every fourth with a call, and 20 tools.
func BenchmarkRequest(b *testing.B) {
	var body strings.Builder
	body.WriteString(`{"model":"m","temperature":0.5,"stream":true,"messages":[`)
	text := strings.Repeat(`Some \"text\" of a conversation, größer als ASCII.\n`, 20)
	for i := range 50 {
		fmt.Fprintf(&body, `{"role":"user","content":"%s"},`, text)
		fmt.Fprintf(&body, `{"role":"assistant","content":"%s"},`, text)
		fmt.Fprintf(&body, `{"role":"user","content":[{"type":"text","text":"%s"}]},`, text)
		fmt.Fprintf(&body, `{"role":"assistant","content":null,"tool_calls":[{"id":"c%d","type":"function",`+
			`"function":{"name":"f","arguments":"{\"text\":\"x\",\"n\":%d}"}}]},`, i, i)
	}
	body.WriteString(`{"role":"user","content":"go"}],"tools":[`)
	for i := range 20 {
		fmt.Fprintf(&body, `{"type":"function","function":{"name":"f%d","description":"does it","parameters":`+
			`{"type":"object","properties":{"text":{"type":"string","description":"a text"},"n":{"type":"integer"}},"required":["text"]}}},`, i)
	}
	raw := []byte(strings.TrimSuffix(body.String(), ",") + "]}")
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		q := new(ChatRequest)
		if err := wire.Unmarshal(raw, q); err != nil {
			b.Fatal(err)
		}
		if _, err := q.Validate(0); err != nil {
			b.Fatal(err)
		}
	}
}
