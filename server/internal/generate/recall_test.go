package generate

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// byteText is a language in which a token is a byte. It has no chat template.
type byteText struct{}

func (byteText) EncodeChat(roles, contents []string, answers [][]int32, variables map[string]any, limit int) ([]int32, error) {
	return nil, errors.New("no chat template")
}
func (byteText) ChatTemplate() string                             { return "" }
func (byteText) Encode(s string, special bool, limit int) []int32 { return byteTokens(s) }
func (byteText) AppendToken(dst []byte, id int32) []byte          { return append(dst, byte(id)) }
func (byteText) AppendText(dst []byte, id int32) []byte           { return append(dst, byte(id)) }
func (byteText) StopTokens() []int32                              { return []int32{256} }

func byteTokens(s string) (ids []int32) {
	for _, b := range []byte(s) {
		ids = append(ids, int32(b))
	}
	return ids
}

const twoCalls = "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\":\"}é{\"}}\n</tool_call>" +
	"\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"

// FuzzSpelled: whatever the memory holds, the tokens that are taken from it for an answer spell the
// client's text, except for the white space in the arguments of calls.
func FuzzSpelled(f *testing.F) {
	f.Add("Hello, there", "Hello")
	f.Add("Voil\xc3", "Voil\uFFFD")
	f.Add(twoCalls, twoCalls)
	f.Add("<tool_call>\n{\"name\": \"now\", \"arguments\": { }}\n</tool_call>",
		"<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>")
	f.Add("<tool_call>and then {\"name\" \"now\", \"arguments\": {}}\n</tool_call>",
		"<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>")
	f.Fuzz(func(t *testing.T, memory, key string) {
		if key == "" || len(memory) > 1000 {
			t.Skip("no answer")
		}
		g := &Generator{text: byteText{}, tools: hermes}
		var d decoder
		var said []byte
		for _, id := range g.spelled(byteTokens(memory), key, nil).whole {
			said = append(said, d.push([]byte{byte(id)})...)
		}
		said = append(said, d.end()...)
		space := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")
		if len(said) > 0 && string(said) != key &&
			(!strings.Contains(key, callOpen) ||
				space.Replace(string(said)) != space.Replace(key)) {
			t.Errorf("%q is taken for %q", said, key)
		}
		if found := strings.HasPrefix(memory, key); found && utf8.ValidString(key) &&
			len(said) == 0 {
			t.Errorf("%q is not found in %q", key, memory)
		}
	})
}
