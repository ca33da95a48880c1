package load

import (
	"testing"

	"gotest.tools/v3/assert"
)

func TestBody(t *testing.T) {
	const sent = `{"max_tokens":16,"messages":[{"content":"a < b"}],"temperature":0}`
	for _, tc := range []struct{ fields, want string }{
		{"", sent},
		{"temperature=", `{"max_tokens":16,"messages":[{"content":"a < b"}]}`},
		{"max_completion_tokens=@max_tokens", `{"max_completion_tokens":16,"messages":[{"content":"a < b"}],"temperature":0}`},
		{"max_tokens= max_completion_tokens=20", `{"max_completion_tokens":20,"messages":[{"content":"a < b"}],"temperature":0}`},
		{`chat_template_kwargs={"enable_thinking": false} temperature=0.5`,
			`{"chat_template_kwargs":{"enable_thinking":false},"max_tokens":16,"messages":[{"content":"a < b"}],"temperature":0.5}`},
		{"max_tokens=@temperature temperature=@max_tokens", `{"max_tokens":0,"messages":[{"content":"a < b"}],"temperature":16}`},
		{"seed=@stop", sent},
		{"user=null", `{"max_tokens":16,"messages":[{"content":"a < b"}],"temperature":0,"user":null}`},
	} {
		b, err := ParseBody(tc.fields)
		assert.NilError(t, err, tc.fields)
		got, err := b.Of([]byte(sent))
		assert.NilError(t, err)
		assert.Equal(t, string(got), tc.want, tc.fields)
		again, err := ParseBody(b.String())
		assert.NilError(t, err)
		assert.Equal(t, again.String(), b.String())
	}
	for _, tc := range []struct{ fields, want string }{
		{"temperature", `"temperature" is not a field`},
		{"=3", "is not a field"},
		{"user=abc", `user: abc is not JSON; a text is written "abc", quotes included`},
		{"user=1 user=2", "user is given twice"},
		{"messages=", "messages are what the load asks"},
		{"x=@messages", "messages are what the load asks"},
		{"x=@x", "x cannot take its own value"},
		{"x=@", "is not a field"},
	} {
		_, err := ParseBody(tc.fields)
		assert.ErrorContains(t, err, tc.want)
	}
	for fields, changed := range map[string]bool{"": false, "max_tokens=": true, "max_tokens=5": true,
		"max_completion_tokens=@max_tokens": false, "max_tokens= n=@max_tokens": false, "seed=": false} {
		b, err := ParseBody(fields)
		assert.NilError(t, err)
		assert.Equal(t, b.Changes("max_tokens"), changed, fields)
	}
	var b Body
	assert.ErrorContains(t, b.Add("a=1 b=2"), `"b=2" follows the value`)
}

func TestParseHeader(t *testing.T) {
	h, err := ParseHeader("X-Team:  storage: b ")
	assert.NilError(t, err)
	assert.Equal(t, h, Header{"X-Team", "storage: b"})
	for _, bad := range []string{"", "X-Team", ": x", "X Team: x", "X: a\nb", "X\r: a"} {
		_, err := ParseHeader(bad)
		assert.ErrorContains(t, err, "is not a header")
	}
}
