package kv

import (
	"encoding/hex"
	"testing"
)

// TestDigest: no two different lists have the same input of the hash, and the digests are those of
// the rule, computed elsewhere: with Python's
//
//	p = lambda n: n.to_bytes(8, "little")
//	d = lambda *a: hashlib.sha256(p(len(a)) + b"".join(p(len(s)) + s for s in a)).hexdigest()
func TestDigest(t *testing.T) {
	lists := [][]string{
		{}, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"a", "b", ""},
		{"a\x00b"}, {"a", "\x00b"}, {"a\x00", "b"}, {"\x01\x00\x00\x00\x00\x00\x00\x00a"},
		{"alice", "salt"}, {"alices", "alt"}, {"alicesalt"}, {"a", "é"}, {"a", "e\u0301"},
	}
	seen := map[[32]byte]int{}
	for i, parts := range lists {
		d := Digest(parts...)
		if j, ok := seen[d]; ok {
			t.Errorf("%q and %q have one digest", lists[j], parts)
		}
		seen[d] = i
	}
	for want, parts := range map[string][]string{
		"af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc": {}, "49db3ec664685fad0e1c58ca98410c5d542bc0b095d35cb3f982e63421801517": {"alice", "salt"}, "eaf045d58c62b44191910f9ae46fe921bdb9efc73f798c62e0b4371fc83815ff": {"alices", "alt"},
	} {
		if d := Digest(parts...); hex.EncodeToString(d[:]) != want {
			t.Errorf("%q: %x, want %s", parts, d, want)
		}
	}
}

// TestRoots: equal tokens behind different roots are different blocks, at every place, and a chain
// is of use only to its own root, full blocks and partial ones.
func TestRoots(t *testing.T) {
	st := NewStore(Layout{Shape: Shape{BlockTokens: 4}, Blocks: 32})
	tokens := make([]int32, 10)
	for i := range tokens {
		tokens[i] = int32(i + 1)
	}
	prompt := append(tokens[:10:10], 11)
	leave := func(who Identity) (cached int) {
		var c Claim
		m := st.Match(&who, prompt, nil)
		x := Extent{Prompt: len(prompt), Tokens: len(prompt), Step: 64}
		st.Start(&c, &who, &m, st.Terms(&m, x, false))
		st.Grow(&c, len(tokens))
		for i := m.Tokens / 4; i < len(tokens)/4; i++ {
			st.Seal(&c, i, tokens[4*i:4*i+4])
		}
		st.Keep(&who, Ended{Tokens: tokens, Blocks: c.Blocks})
		st.End(&c)
		st.Check(nil)
		return m.Tokens
	}
	ann := Agent{Principal: "p", Name: "ann"}
	for _, test := range []struct {
		name string
		who  Identity
		want int
	}{
		{"the first", Identity{Agent: ann, Root: NewRoot("p")}, 0},
		{"herself", Identity{Agent: ann, Root: NewRoot("p")}, 10},
		{"an anonymous request of hers", Identity{Agent: Agent{"p", ""}, Root: NewRoot("p")}, 8},
		{"another agent of the principal", Identity{Agent: Agent{"p", "bob"}, Root: NewRoot("p")}, 8},
		{"another principal's agent of that name", Identity{Agent: Agent{"q", "ann"}, Root: NewRoot("q")}, 0},
		{"an anonymous request of the other", Identity{Agent: Agent{"q", ""}, Root: NewRoot("q")}, 8},
		{"one without a principal", Identity{Agent: Agent{"", "ann"}}, 0},
		{"herself with a salt", Identity{Agent: ann, Root: NewRoot("p", "s")}, 0},
		{"herself with the salt again", Identity{Agent: ann, Root: NewRoot("p", "s")}, 10},
		{"herself without it", Identity{Agent: ann, Root: NewRoot("p")}, 8}, // the others' blocks
	} {
		if got := leave(test.who); got != test.want {
			t.Errorf("%s: %d tokens are cached, want %d", test.name, got, test.want)
		}
	}
}
