package ceiling

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// A dumb twin: a server whose token is a byte, that keeps every prompt and answer as a text and
// looks for the longest beginning in all of them.
type twin struct{ texts []string }

func text(parts []Part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Role + "\x00" + p.Text)
	}
	return b.String()
}

func (t *twin) shared(prompt string) int {
	longest := 0
	for _, old := range t.texts {
		n := 0
		for n < min(len(old), len(prompt)) && old[n] == prompt[n] {
			n++
		}
		longest = max(longest, n)
	}
	return longest
}

func sent(c *Cache, parts []Part, from *Prompt) *Prompt {
	return c.Sent(len(parts), func(i int) Part { return parts[i] }, from)
}

// Conversations that grow, branch and begin alike have a ceiling that differs from the twin's by no
// more than a step, and by nothing where whole messages are shared.
func TestTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(16, 16))
	said := func(n int) string {
		b := make([]byte, 1+rng.IntN(n))
		for i := range b {
			b[i] = 'a' + byte(rng.IntN(26))
		}
		return string(b)
	}
	for _, block := range []int{1, 32} {
		c, old := New(block), &twin{}
		system := []Part{{Role: "system", Text: said(5000)}, {Role: "system", Text: said(5000)}}
		var conversations [][]Part
		var last [7]*Prompt
		for range 400 {
			var parts []Part
			if n := len(conversations); n > 0 && rng.IntN(4) > 0 {
				parts = conversations[rng.IntN(n)]
			} else {
				parts = []Part{system[rng.IntN(2)]}
			}
			parts = append(parts[:len(parts):len(parts)], Part{Role: "user", Text: said(900)})
			whole := text(parts)
			p := sent(c, parts, last[len(parts)%7]) // whatever it has in common with it or not
			last[len(parts)%7] = p
			answer := Part{Role: "assistant", Text: said(300)}
			output := len("assistant\x00"+answer.Text) + 1 // the last token is never read
			got := p.Answered(len(whole), output, answer)
			want := min(old.shared(whole), len(whole)-1)
			old.texts = append(old.texts, text(append(parts[:len(parts):len(parts)], answer)))
			if got%block != 0 || got > want || got < want-step-block {
				t.Fatalf("blocks of %d: %d of %d tokens, want %d", block, got, len(whole), want)
			}
			if rng.IntN(3) > 0 {
				conversations = append(conversations, append(parts[:len(parts):len(parts)], answer))
			}
		}
	}
}

// What goes on from a whole prompt and its answer has all of both, in whole blocks, whatever a
// token is: the server's counts say where they end.
func TestCountsOfTheServer(t *testing.T) {
	c := New(32)
	begin := []Part{{Role: "system", Text: strings.Repeat("be brief ", 50)}, {Role: "user", Text: "why?"}}
	if got := sent(c, begin, nil).Answered(301, 21, Part{Role: "assistant", Text: "so"}); got != 0 {
		t.Errorf("the first prompt: %d", got)
	}
	next := append(begin, Part{Role: "assistant", Text: "so"}, Part{Role: "user", Text: "and then?"})
	if got := sent(c, next, nil).Answered(340, 8, Part{Role: "assistant", Text: "no"}); got != (301+20)/32*32 {
		t.Errorf("the second prompt: %d", got)
	}
	if got := sent(c, next, nil).Answered(340, 8, Part{Role: "assistant", Text: "no"}); got != 339/32*32 {
		t.Errorf("the same again, whose last token is computed: %d", got)
	}
	other := []Part{begin[0], {Role: "user", Text: "who?"}}
	if got := sent(c, other, nil).Answered(301, 5, Part{Role: "assistant", Text: "me"}); got < 256 || got > 288 {
		t.Errorf("the same system prompt: %d", got)
	}
	if sent(c, other, nil).Answered(-1, -1, Part{}) != 0 || sent(nil, other, nil).Answered(5, 5, Part{}) != 0 {
		t.Error("a count that is not known")
	}
}

// Memory is bounded: what was not asked for in the last million nodes and more is forgotten.
func TestBounded(t *testing.T) {
	c := New(1)
	shared := Part{Role: "system", Text: strings.Repeat("s", 1000)}
	for i := range 30 {
		text := strings.Repeat(fmt.Sprint(i, " "), 3<<20)
		p := sent(c, []Part{shared, {Role: "user", Text: text}}, nil)
		if had := p.Answered(len(text)+1000, 0, Part{}); i > 0 && math.Abs(float64(had)-1006) > 10 {
			t.Fatalf("prompt %d has %d tokens of what all share", i, had)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*keep+1<<18 {
		t.Errorf("%d nodes", n)
	}
}

// A conversation of 210 kB that is new, and one that goes on by 5 kB.
func BenchmarkSent(b *testing.B) {
	parts := []Part{{Role: "system", Text: strings.Repeat("be brief ", 200)}}
	for range 40 {
		parts = append(parts, Part{Role: "user", Text: strings.Repeat("what it says ", 400)})
	}
	b.Run("new", func(b *testing.B) {
		c := New(32)
		b.SetBytes(int64(len(text(parts))))
		for b.Loop() {
			sent(c, parts, nil)
		}
	})
	b.Run("goes on", func(b *testing.B) {
		c := New(32)
		from := sent(c, parts[:40], nil)
		for b.Loop() {
			sent(c, parts, from)
		}
	})
}
