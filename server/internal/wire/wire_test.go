package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzAppendString: any bytes become a JSON string of the same text, with U+FFFD for each byte that
// is not a part of a character.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n\x00\x1f/", "Grüße 🙂", "\xff\xe2\x82", "\u2028<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString([]byte("x"), s)
		var got string
		if err := json.Unmarshal(b[1:], &got); err != nil || !utf8.Valid(b) || b[0] != 'x' {
			t.Fatalf("%q: %q, %v", s, b, err)
		}
		var want strings.Builder
		for _, r := range s {
			want.WriteRune(r)
		}
		if got != want.String() {
			t.Errorf("%q becomes %q", s, got)
		}
		if again := AppendString([]byte("x"), []byte(s)); string(again) != string(b) {
			t.Errorf("%q as bytes: %q, as a string: %q", s, again, b)
		}
	})
}

func TestIsObject(t *testing.T) {
	for s, want := range map[string]bool{
		`{}`: true, " \n{\"a\":[1]}": true, ``: false, `[]`: false, `"{}"`: false, `{"a"`: false, `{}{}`: false,
	} {
		if IsObject(s) != want {
			t.Errorf("IsObject(%q) is %v", s, !want)
		}
	}
}

func TestOrNil(t *testing.T) {
	for raw, want := range map[string]bool{"": true, "null": true, "{}": false, "0": false} {
		if got := OrNil(json.RawMessage(raw)) == nil; got != want {
			t.Errorf("OrNil(%q) == nil is %v", raw, got)
		}
	}
}
