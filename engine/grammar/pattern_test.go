package grammar

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
)

// randomPattern makes a regular expression. Beside what looks around itself it repeats only what is
// not empty.
func randomPattern(r *rand.Rand, depth int) string {
	sub := func() string { return randomPattern(r, depth-1) }
	n := r.IntN(20)
	if depth == 0 {
		n = r.IntN(9)
	}
	switch n {
	case 0, 1:
		return "a"
	case 2:
		return "b"
	case 3:
		return "[^a]"
	case 4:
		return `\w`
	case 5:
		return "."
	case 6:
		return []string{"^", "$"}[r.IntN(2)]
	case 7:
		return `\b`
	case 8:
		return `[ a]{1,2}`
	case 9, 10:
		return "(?:" + sub() + "|" + sub() + ")"
	case 11:
		return "(?=" + sub() + ")"
	case 12:
		return "(?!" + sub() + ")"
	case 13:
		return []string{"(?<=a)", "(?<!a)", `(?<=a\w)`, "(?<!b|a )", `(?<=[ab]+ )`}[r.IntN(5)]
	case 14:
		return "(?:" + sub() + ")" + []string{"*", "+", "?", "{2}", "{1,3}", "{2,}"}[r.IntN(6)]
	case 15:
		return `\B`
	default:
		return sub() + sub()
	}
}

// TestPatterns compares random patterns, on all short strings, with an engine that tries
// everything.
func TestPatterns(t *testing.T) {
	var texts []string
	var add func(text string)
	add = func(text string) {
		texts = append(texts, text)
		for _, c := range "ab -" {
			if len(text) < 5 {
				add(text + string(c))
			}
		}
	}
	add("")
	r := rand.New(rand.NewPCG(21, 22))
	held, looks := 0, 0
	for range 1500 {
		source := randomPattern(r, 4)
		g := newLangs()
		l, err := g.pattern(source)
		if err != nil {
			continue
		}
		held++
		looks += btoi(strings.Contains(source, "(?<") || strings.Contains(source, `\b`))
		want := regexp2.MustCompile(source, regexp2.ECMAScript)
		for _, text := range texts {
			ok, err := want.MatchString(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := g.match(l, text); got != ok {
				t.Fatalf("%s matches %q: %t, want %t", source, text, got, ok)
			}
		}
	}
	if held < 1200 || looks < 300 {
		t.Errorf("only %d patterns, of which %d look behind", held, looks)
	}
}

// TestPatternsOfTheWild checks patterns that people write.
func TestPatternsOfTheWild(t *testing.T) {
	for _, test := range []struct{ pattern, good, bad string }{
		{`^(?=.*[A-Z])(?=.*[a-z])(?=.*\d)[A-Za-z\d]{8,}$`, "Passw0rd1", "password1"},
		{`^(?!.*--)[a-z](?:[a-z0-9-]*[a-z0-9])?$`, "a-b-c", "a--b"},
		{`^(?:(?!foo).)*$`, "fo of", "a foo b"},
		{`^((?!\b(?:DROP|DELETE)\b).)*$`, "DROPS it", "now DROP it"},
		{`\bcat\b`, "a cat.", "concat"},
		{`^[^/](?:.(?<!//))*$`, "a/b/c", "a//b"},
		{`^.*(?<!\.tmp)$`, "a.tmp2", "a.tmp"},
		{`(?<=\$)\d+`, "costs $5", "costs 5"},
		{`^(?<year>\d{4})-(?<month>0[1-9]|1[0-2])$`, "2024-12", "2024-13"},
		{`^(?!xn--)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$`, "a.example", "xn--a.example"},
		{`^(?![\s\S]*\n\n)[\s\S]+$`, "a\nb", "a\n\nb"},
		{`^\S(?:.*\S)?$`, "a b", "a "},
		{`^(a?^b)*c`, "bc", "abc"},
		{`^(?:\d(?=\d{3}$)|\d)+$`, "1234", "1,234"},
	} {
		source := fmt.Sprintf(`{"type":"string","pattern":%s,"maxLength":40}`, quote(test.pattern))
		g, err := Schema([]byte(source))
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		if !accepts(g, quote(test.good)) || accepts(g, quote(test.bad)) {
			t.Errorf("%s: %q is accepted: %t, %q: %t", test.pattern, test.good,
				accepts(g, quote(test.good)), test.bad, accepts(g, quote(test.bad)))
		}
	}
}
