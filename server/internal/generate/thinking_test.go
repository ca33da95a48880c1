package generate

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReasoner: what is reasoning and what is text does not depend on how the bytes are cut into
// tokens, and nothing but white space is lost of an
// answer without them.
func FuzzReasoner(f *testing.F) {
	f.Add("<think>\nHm, é.\n\n</think>\n\nYes", uint8(3), false)
	f.Add("Hm </thi</think>Yes", uint8(1), true)
	f.Add(" <thinking>", uint8(2), false)
	f.Add("<think>\xe2\x82", uint8(2), false)
	f.Add("<think> \n </think> \n ", uint8(5), false)
	f.Fuzz(func(t *testing.T, answer string, size uint8, open bool) {
		part := func(size int) (reasoning, text string) {
			r, a := newReasoner(&thinkingForms[0], open), assembly{}
			var rest []byte
			for b := []byte(answer); len(b) > 0; {
				n := min(size, len(b))
				rest = append(rest, r.push(b[:n], &a)...)
				b = b[n:]
			}
			rest = append(rest, r.finish(&a)...)
			return string(a.reasoning), string(rest)
		}
		reasoning, text := part(len(answer) + 1)
		if r, x := part(int(size%7) + 1); r != reasoning || x != text {
			t.Errorf("in tokens of %d bytes %q and %q, whole %q and %q", size%7+1, r, x, reasoning, text)
		}
		if strings.ContainsAny(answer, "<\uFFFD") || !utf8.ValidString(answer) {
			return
		}
		bare := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")
		if got, want := bare.Replace(reasoning+text), bare.Replace(answer); got != want {
			t.Errorf("%q became %q and %q", answer, reasoning, text)
		}
	})
}
