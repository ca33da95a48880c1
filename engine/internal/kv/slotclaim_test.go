package kv

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestSlotClaimTimeline makes the timeline in the comment of slotClaim.
func TestSlotClaimTimeline(t *testing.T) {
	st := NewStore(Layout{Shape: Shape{BlockTokens: 4, Window: 6}, Blocks: 8, WindowSlots: 8})
	prompt := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	tokens := slices.Concat(prompt, []int32{10, 11, 12, 13, 14, 15, 16, 17})
	ann := Identity{Agent: Agent{Name: "ann"}}
	m := st.Match(&ann, prompt, nil)
	var c Claim
	var got strings.Builder
	show := func(when string) {
		fmt.Fprintf(&got, "%-20s", when)
		for i := range 5 {
			switch {
			case i < c.window.start:
				got.WriteString(" -")
			case i >= len(c.Blocks):
				got.WriteString(" .")
			case st.slots.all[st.slots.of[c.Blocks[i]]].pins > 0:
				got.WriteString(" P")
			case st.slots.all[st.slots.of[c.Blocks[i]]].borrows > 0:
				got.WriteString(" b")
			default:
				got.WriteString(" h")
			}
		}
		fmt.Fprintf(&got, " %3d %3d\n", c.window.promised, st.slots.used)
	}
	computed := func(n int) {
		for i := range n / 4 {
			if st.index.parent[c.Blocks[i]] == absent {
				st.Seal(&c, i, tokens[i*4:(i+1)*4])
			}
		}
		st.Slide(&c, n)
	}
	st.Start(&c, &ann, &m, st.Terms(&m, Extent{Prompt: 10, Tokens: 18, Step: 64}, false))
	show("admitted")
	st.Grow(&c, 10)
	show("prompt planned")
	computed(10)
	show("10 tokens computed")
	computed(12)
	show("12 tokens computed")
	st.Grow(&c, 13)
	show("the 13th planned")
	computed(16)
	show("16 tokens computed")
	st.Grow(&c, 17)
	show("the 17th planned")
	computed(18)
	st.Keep(&ann, Ended{Tokens: tokens, Blocks: c.Blocks})
	st.End(&c)
	show("end")
	const want = `admitted             . . . . .   5   5
prompt planned       b b P . .   2   5
10 tokens computed   b b P . .   0   3
12 tokens computed   - b P . .   1   3
the 13th planned     - b P P .   0   3
16 tokens computed   - - P P .   1   3
the 17th planned     - - P P P   0   3
end                  - - h h h   0   0
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	st.Check(nil)
}
