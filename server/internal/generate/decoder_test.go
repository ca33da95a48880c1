package generate

import (
	"strings"
	"testing"
)

func TestDecoder(t *testing.T) {
	for _, test := range []struct {
		name   string
		tokens []string
		stops  []string
		want   []string // what each token makes certain, and the end
	}{
		{"plain", []string{"a", "bc"}, nil, []string{"a", "bc", ""}},
		{"a character over three tokens", []string{"x\xf0\x9f", "\x99", "\x82y"}, nil, []string{"x", "", "🙂y", ""}},
		{"a byte that is no character", []string{"a\xffb"}, nil, []string{"a\ufffdb", ""}},
		{"a character cut off at the end", []string{"a\xe2\x82"}, nil, []string{"a", "\ufffd"}},
		{"a character cut off by another", []string{"\xe2\x82", "a"}, nil, []string{"", "\ufffda", ""}},
		{"a stop within a token", []string{"one STOP two"}, []string{"STOP"}, []string{"one ", ""}},
		{"a stop over tokens", []string{"one S", "T", "OP two"}, []string{"STOP"}, []string{"one ", "", "", ""}},
		{"not the stop after all", []string{"one S", "T", "AY"}, []string{"STOP"}, []string{"one ", "", "STAY", ""}},
		{"held to the end", []string{"one ST"}, []string{"STOP"}, []string{"one ", "ST"}},
		{"a stop over a character", []string{"a\xe2\x82", "\xac!"}, []string{"€"}, []string{"a", "", ""}},
		{"a stop that overlaps its own beginning", []string{"a", "a", "a", "b"}, []string{"aab"}, []string{"", "", "a", "", ""}},
		{"the first to be complete", []string{"abcd"}, []string{"abcd", "bc"}, []string{"a", ""}},
		{"the longer of two", []string{"abc"}, []string{"bc", "abc"}, []string{"", ""}},
		{"a stop that only the end completes", []string{"a\xff\xe2"}, []string{"\ufffd\ufffd"}, []string{"a", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDecoder(test.stops)
			var got []string
			for _, token := range test.tokens {
				got = append(got, string(d.push([]byte(token))))
			}
			got = append(got, string(d.end()))
			if g, w := strings.Join(got, "|"), strings.Join(test.want, "|"); g != w {
				t.Errorf("got %q, want %q", g, w)
			}
		})
	}
}
