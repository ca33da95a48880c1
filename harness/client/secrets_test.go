package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/harness/load"
)

func TestLeak(t *testing.T) {
	var s secrets
	for _, canary := range []string{"0badcafe", "deadbeef", "deadbeef", "", "word", "0badcafe0"} {
		s.add(canary)
	}
	assert.Equal(t, len(s.young), 2)
	for _, tc := range []struct{ answer, want string }{
		{"", ""},
		{"deadbee", ""},
		{"0badcafe is my secret", ""}, // its own
		{"your secret is deadbeef", "deadbeef"},
		{"0badcafe, or deadbeef?", "deadbeef"},
		{"xdeadbeefx", "deadbeef"},
		{"00deadbeef00", "deadbeef"}, // among other digits
		{"dead beef", ""},
		{"DEADBEEF", ""},
	} {
		assert.Equal(t, s.leak(tc.answer, "0badcafe"), tc.want, tc.answer)
	}
}

// However many agents ask, at most two generations are kept. A secret is known for one generation
// after it was last used.
func TestSecretsAreForgotten(t *testing.T) {
	var s secrets
	plant := func(i int) { s.add(fmt.Sprintf("%08x", i)) }
	for i := range generation {
		plant(i)
	}
	plant(0) // again
	for i := range generation {
		plant(generation + i)
		if !s.has(0) || !s.has(generation-1) || len(s.young)+len(s.old) > 2*generation {
			t.Fatalf("after %d more: %d young, %d old", i+1, len(s.young), len(s.old))
		}
	}
	plant(2 * generation)
	assert.Assert(t, !s.has(0) && !s.has(generation-1), "two generations ago")
	assert.Assert(t, s.has(generation+1))
}

// A leak is found however long ago the secret's owner asked, and also while its owner has no answer
// yet.
func TestLeakOfAnyTime(t *testing.T) {
	const n = 3000
	secret := func(i int) string { return load.Canary(uint64(i)) }
	asked := make(chan struct{})
	leak := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Messages []Message }
		json.NewDecoder(r.Body).Decode(&body)
		answer := body.Messages[0].Content
		switch answer {
		case secret(n):
			close(asked)
			<-leak
		case secret(n - 1):
			answer = secret(0)
		case secret(n - 2):
			<-asked
			answer = secret(n)
		}
		fmt.Fprintf(w, `{"choices":[{"message":{"content":%q},"finish_reason":"stop"}]}`, answer)
	}))
	t.Cleanup(server.Close)
	c := New(server.URL)
	t.Cleanup(c.Close)
	ask := func(i int) string {
		messages := []Message{{Role: "user", Content: secret(i)}}
		return c.Ask(t.Context(), c.Since(), Prompt{Canary: secret(i), Messages: messages}).Leak
	}
	for i := range n - 2 {
		assert.Equal(t, ask(i), "")
	}
	last := make(chan string)
	go func() { last <- ask(n) }()
	assert.Equal(t, ask(n-2), secret(n))
	close(leak)
	assert.Equal(t, <-last, "")
	assert.Equal(t, ask(n-1), secret(0))
}

// The search goes in steps of a canary's length; what it finds is what a search of every place
// finds.
func FuzzLeak(f *testing.F) {
	for _, text := range []string{"", "deadbeef", "0deadbeef", "xdeadbeef-", "feeddeadbeef0badcafe",
		"beefdead beef,deadbeef;0badcafe", "a0badcafe deadbeef"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, word bool) {
		var s secrets
		s.add("deadbeef")
		s.add("0badcafe")
		want := ""
		for i := 0; i+load.CanaryLength <= len(text) && want == ""; i++ {
			part := text[i : i+load.CanaryLength]
			if part == "deadbeef" && (!word || free(text, i-1) && free(text, i+load.CanaryLength)) {
				want = part
			}
		}
		assert.Equal(t, leakIn(&s, text, "0badcafe", word), want)
		assert.Equal(t, leakIn(&s, []byte(text), "0badcafe", word), want)
	})
}
