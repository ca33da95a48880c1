package engine

// An owner is who has a block, or a local.
type owner int

const (
	byNobody   owner = iota
	byMemory         // one idle memory
	byMemories       // several memories, and no request
	byRequest        // one running request, and perhaps the memory that it goes on from
	byMany           // a running request, and others
	owners
)

// ownerOf says who has what so many running requests have pinned and so many memories hold.
func ownerOf(pins, holds int32) owner {
	switch {
	case pins > 1 || pins == 1 && holds > 1:
		return byMany
	case pins == 1:
		return byRequest
	case holds > 1:
		return byMemories
	case holds == 1:
		return byMemory
	}
	return byNobody
}

// A tally is how many there are of each owner.
type tally [owners]int

func (t *tally) move(from, to owner) {
	t[from]--
	t[to]++
}

// pinned is how many running requests have.
func (t *tally) pinned() int { return t[byRequest] + t[byMany] }

// idle is how many memories alone have.
func (t *tally) idle() int { return t[byMemory] + t[byMemories] }

// purposes says what all are for, when promised of those that nobody has pinned are promised. A promise is kept from what
// is free, because alloc looks there first, and then from what a memory has for itself.
func (t *tally) purposes(promised int) Purposes {
	fromFree := min(promised, t[byNobody])
	fromMemory := min(promised-fromFree, t[byMemory])
	return Purposes{
		Running:  int64(t[byRequest]),
		Promised: int64(promised),
		Shared:   int64(t[byMany] + t[byMemories] - (promised - fromFree - fromMemory)),
		Cached:   int64(t[byMemory] - fromMemory),
		Free:     int64(t[byNobody] - fromFree),
	}
}

// Purposes says what the pool, or a part of it, is for. The numbers add up to all there is.
type Purposes struct {
	Running  int64 // one running request has it
	Promised int64 // running requests may yet claim it
	Shared   int64 // several have it at once: requests, or memories
	Cached   int64 // one idle memory has it
	Free     int64
}

// Sum is all there is.
func (p Purposes) Sum() int64 { return p.Running + p.Promised + p.Shared + p.Cached + p.Free }

// add adds another part, whose numbers count things of so many bytes.
func (p *Purposes) add(o Purposes, bytes int64) {
	p.Running += o.Running * bytes
	p.Promised += o.Promised * bytes
	p.Shared += o.Shared * bytes
	p.Cached += o.Cached * bytes
	p.Free += o.Free * bytes
}
