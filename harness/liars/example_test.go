package liars_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"loadstone/harness/liars"
)

// A tool that counts chunks is asked what it makes of a server that sends four tokens in one.
func Example() {
	liar, _ := liars.Find("merged-tokens")
	server := liar.Server(liars.Options{Scale: 0.01, Seed: 1})
	h := httptest.NewServer(server)
	defer h.Close()

	body := `{"stream":true,"max_tokens":32,"messages":[{"role":"user","content":"Hello there"}]}`
	res, err := http.Post(h.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	chunks := strings.Count(string(text), `"content"`)

	claims := liars.Claims{Figures: map[liars.Figure]float64{liars.AnswerMean: float64(chunks)}}
	fmt.Println(liar.Judge(claims, server.Truth()).Reasons[0])
	fmt.Println(liar.Judge(claims, server.Truth()).Verdict)
	// Output:
	// answer-tokens 8, truly 32: wrong
	// fooled
}
