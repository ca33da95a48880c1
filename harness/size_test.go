package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/assert"

	"loadstone/harness/client"
	"loadstone/harness/load"
)

func TestPromptSize(t *testing.T) {
	for _, tc := range []struct {
		name          string
		tokens        [2]int // of 50 and of 200 words
		want          promptSize
		words, ofMore int // for 64 tokens in a first prompt, and for 8 more
		tokensOf10    int
	}{
		{"a template's constant", [2]int{130, 430}, promptSize{30, 2}, 17, 4, 50},
		{"a word is a token", [2]int{50, 200}, promptSize{0, 1}, 64, 8, 10},
		{"longer than asked for already", [2]int{150, 300}, promptSize{100, 1}, 1, 8, 110},
		{"no usage", [2]int{-1, -1}, promptSize{0, 4.0 / 3}, 48, 6, 13},
		{"usage that means nothing", [2]int{7, 7}, promptSize{0, 4.0 / 3}, 48, 6, 13},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := fitPromptSize(warmUpWords, tc.tokens)
			assert.Equal(t, got, tc.want)
			assert.Equal(t, got.words(64), tc.words)
			assert.Equal(t, got.more(8), tc.ofMore)
			assert.Equal(t, got.tokens(10), tc.tokensOf10)
		})
	}
}

// Measurements with other seeds ask with other words, and as many of them, whatever the tokenizer
// makes of the words.
func TestSizeOfEverySeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var words []int
		h, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Messages []client.Message }
			if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&body) != nil {
				http.NotFound(w, r)
				return
			}
			text := body.Messages[len(body.Messages)-1].Content
			mu.Lock()
			defer mu.Unlock()
			words = append(words, len(strings.Fields(text)))
			fmt.Fprintf(w, `{"choices":[{"message":{"content":"so"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":1}}`, len(text))
		})
		var want []int
		for seed := range uint64(8) {
			words = nil
			cold := five(2, 300, 4, "single-cold")
			cold[0].Seeds = load.OneSeed(seed)
			_, _, err := Plan{Loads: cold}.Run(t.Context(), h.Client)
			assert.NilError(t, err)
			if want == nil {
				want = words
			}
			assert.DeepEqual(t, words, want)
		}
	})
}
