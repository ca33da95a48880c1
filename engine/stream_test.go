package engine

import "testing"

// TestStream: a reader that is slow gets every token in order, although the stream has room for
// few, and one that is gone costs nothing.
func TestStream(t *testing.T) {
	gone := make(chan struct{})
	s := newStream(&Request{MaxTokens: 1000, SureTokens: 3}, gone)
	next := int32(0)
	read := func() {
		t.Helper()
		if got := (<-s.Tokens()).ID; got != next {
			t.Fatalf("token %d, want %d", got, next)
		}
		next++
	}
	for id := range int32(20) {
		s.push(Token{ID: id})
		if id%4 == 3 {
			read()
		}
	}
	s.end()
	for next < 20 {
		read()
	}
	if _, ok := <-s.Tokens(); ok {
		t.Error("a token after the last")
	}
	s = newStream(&Request{MaxTokens: 1000, SureTokens: 1}, gone)
	for id := range int32(5) {
		s.push(Token{ID: id})
	}
	close(gone)
	s.end()
	for range s.Tokens() {
	}
}
