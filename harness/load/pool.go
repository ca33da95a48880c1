package load

import (
	"fmt"
	"slices"
)

// A Pool is a server's KV pool, as it says of it; the zero Pool is one of unknown size.
type Pool struct {
	Blocks      int // in all
	BlockTokens int // tokens of a block

	// Of models with sliding-window layers, whose window slots may be the part that is full first.
	WindowSlots, SlotsPerRequest int

	AdmitBelow float64 // the server admits new work while less than this share is in use; 0 unknown
	Prompt     int     // tokens of the load's first prompts, as this server counts them

	Context int // tokens of the longest request that the server takes; 0 unknown
}

// maxReserved is the tokens that one request reserves at most: more agents ask together rather than
// one for more than models have context for.
const maxReserved = 24 << 10

// On is the load on a server with that pool: amounts in units of the pool or the context become
// tokens, and where Reserve takes more agents than Together, there are as many. On a pool of
// unknown size Reserve has no effect, and an amount in units of what is not known is an error.
func (l Load) On(p Pool) (Load, error) {
	l.Pool = p
	tokens, context := float64(p.Blocks*p.BlockTokens), float64(l.context(p))
	for _, part := range l.parts() {
		switch a := part.Amount; {
		case a.Pool && tokens == 0:
			return l, fmt.Errorf("load %s: %s is %v, and the server does not say how large its KV pool is",
				l.Name, part.name, a)
		case a.Context && context == 0:
			return l, fmt.Errorf("load %s: %s is %v, and the server does not say how long a request "+
				"may be: want context", l.Name, part.name, a)
		}
		*part.Amount = part.of(tokens, context)
	}
	if l.SystemPart != (Amount{}) {
		l.SystemTokens, l.SystemPart = int(l.SystemPart.A), Amount{}
	}
	if l.Reserve > 0 && p.Blocks > 0 {
		l.Together = max(l.Together, (l.reserve()*p.BlockTokens+maxReserved-1)/maxReserved)
	}
	return l, nil
}

// A named amount is one that may be in units of the pool or the context.
type named struct {
	name string
	*Amount
}

// parts are the amounts that may be.
func (l *Load) parts() []named {
	return []named{{"prompt", &l.Prompt}, {"follow-up", &l.FollowUp}, {"answer", &l.Answer},
		{"system", &l.SystemPart}, {"compact", &l.Compact.At}, {"compact", &l.Compact.To}}
}

// OfContext reports whether the load has amounts in units of the context.
func (l *Load) OfContext() bool {
	return slices.ContainsFunc(l.parts(), func(a named) bool { return a.Context })
}

// context is the tokens that amounts of the context are of: what the server says, but no more than
// the load does.
func (l *Load) context(p Pool) int {
	if own := l.Replay.Context; own > 0 && p.Context > 0 {
		return min(own, p.Context)
	}
	return max(l.Replay.Context, p.Context)
}

// reserve is how many blocks a round reserves. It stays a hundredth of the pool below the share at
// which the server refuses new work: the pressure is to be served, not refused.
func (l *Load) reserve() int {
	share := l.Reserve
	if b := l.Pool.AdmitBelow; b > 0 {
		share = min(share, b-0.01)
	}
	want := int(share * float64(l.Pool.Blocks))
	if slots := int(share * float64(l.Pool.WindowSlots)); l.Together*l.Pool.SlotsPerRequest > slots {
		want = min(want, slots)
	}
	return want
}

// reserved is the max tokens of an agent's answer, asked or, where the round reserves a share of
// the pool, as long as that takes. Half a block less than the agent's blocks hold leaves the prompt
// room to be longer or shorter than expected without needing another number of blocks.
func (l *Load) reserved(agent, asked int) int {
	if l.Reserve == 0 || l.Pool.Blocks == 0 || l.Together == 0 {
		return asked
	}
	blocks := part(l.reserve(), l.Together, agent%l.Together)
	return max(asked, blocks*l.Pool.BlockTokens-l.Pool.BlockTokens/2-l.Pool.Prompt)
}

// part is part i of a total that is split among n as evenly as whole numbers can be.
func part(total, n, i int) int { return (i+1)*total/n - i*total/n }
