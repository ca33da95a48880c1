package kv

// A refState says what refers to a block, or to a window slot.
type refState int

const (
	unused        refState = iota // nothing
	oneChain                      // one chain
	severalChains                 // several chains, and no sequence
	oneSequence                   // one running sequence, and perhaps the chain that it continues
	shared                        // a running sequence and others
	refStates
)

// refStateOf returns the state of a block that so many sequences use and so many chains hold.
func refStateOf(uses, holds int32) refState {
	switch {
	case uses > 1 || uses == 1 && holds > 1:
		return shared
	case uses == 1:
		return oneSequence
	case holds > 1:
		return severalChains
	case holds == 1:
		return oneChain
	}
	return unused
}

// refCounts counts the blocks, or slots, in each state.
type refCounts [refStates]int

func (c *refCounts) move(from, to refState) {
	c[from]--
	c[to]++
}

// running returns how many are used by sequences.
func (c *refCounts) running() int { return c[oneSequence] + c[shared] }

// idle returns how many are held by chains and used by no sequence.
func (c *refCounts) idle() int { return c[oneChain] + c[severalChains] }

// purposes says what all of them are for, when so many are promised that no sequence uses yet. A
// promise is kept from the unused ones, where allocation looks first, then from those that one
// chain holds.
func (c *refCounts) purposes(promised int) Purposes {
	fromUnused := min(promised, c[unused])
	fromChain := min(promised-fromUnused, c[oneChain])
	return Purposes{
		Running:  int64(c[oneSequence]),
		Promised: int64(promised),
		Shared:   int64(c[shared] + c[severalChains] - (promised - fromUnused - fromChain)),
		Cached:   int64(c[oneChain] - fromChain),
		Free:     int64(c[unused] - fromUnused),
	}
}

// Purposes says what the pool, or a part of it, is for. The numbers add up to the whole.
type Purposes struct {
	Running  int64 // one running request has it
	Promised int64 // running requests may still take it
	Shared   int64 // several requests or memories have it
	Cached   int64 // one idle memory has it
	Free     int64
}

// Sum returns the whole.
func (p Purposes) Sum() int64 { return p.Running + p.Promised + p.Shared + p.Cached + p.Free }

// add adds another part, whose numbers count things of so many bytes.
func (p *Purposes) add(o Purposes, bytes int64) {
	p.Running += o.Running * bytes
	p.Promised += o.Promised * bytes
	p.Shared += o.Shared * bytes
	p.Cached += o.Cached * bytes
	p.Free += o.Free * bytes
}

// Counts says how the blocks, or the window slots, are used: Used + Cached + Free == Total.
type Counts struct {
	Total    int
	Used     int // running sequences have them or may still take them
	Promised int // those of Used that no sequence has taken yet
	Cached   int // only chains have them
	Free     int
	Peak     int // the highest Used so far
}
