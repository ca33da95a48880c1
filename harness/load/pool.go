package load

import "fmt"

// A Pool is a server's KV pool, as it says of it; the zero Pool is one of unknown size.
type Pool struct {
	Blocks      int // in all
	BlockTokens int // tokens of a block

	// Of models with sliding-window layers, whose window slots may be the part that is full first.
	WindowSlots, SlotsPerRequest int

	AdmitBelow float64 // the server admits new work while less than this share is in use; 0 unknown
	Prompt     int     // tokens of the load's first prompts, as this server counts them
}

// maxReserved is the tokens that one request reserves at most: more agents ask together rather than
// one for more than models have context for.
const maxReserved = 24 << 10

// On is the load on a server with that pool: amounts in units of the pool become tokens, and where
// Reserve takes more agents than Together, there are as many. On a pool of unknown size Reserve has
// no effect, and an amount in units of the pool is an error.
func (l Load) On(p Pool) (Load, error) {
	l.Pool = p
	tokens := float64(p.Blocks * p.BlockTokens)
	for name, a := range map[string]*Amount{"prompt": &l.Prompt, "follow-up": &l.FollowUp,
		"answer": &l.Answer} {
		if a.Pool && tokens == 0 {
			return l, fmt.Errorf("load %s: %s is %v, and the server does not say how large its KV pool is",
				l.Name, name, a)
		}
		*a = a.of(tokens)
	}
	if l.Reserve > 0 && p.Blocks > 0 {
		l.Together = max(l.Together, (l.reserve()*p.BlockTokens+maxReserved-1)/maxReserved)
	}
	return l, nil
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
