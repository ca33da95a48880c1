package metal

import "fmt"

// A Part is what one process has of a network that several compute together, each with a part of the
// weights and of the KV (tensor parallelism). Of every layer it has some of the heads and some of the
// MLP's inner numbers. All parts see the same steps, and a layer's two sums are made of what all have,
// over MLX's ring of TCP connections. The zero Part is the whole network.
//
// Embedding, norms and head are the same in all parts, and so are their results, to the last bit: a sum
// is made once and sent to all. From those of the whole network they differ in the last bits, because a
// sum of parts is made in another order.
//
// A process stays the part that it is, of every network that it opens, and computes nothing alone any
// more. Where a part goes away, steps of the others fail; see Lead.Lost.
type Part struct {
	// Hosts are the addresses, host:port, at which the parts listen for each other, in their order. Part
	// 0 also listens at the next port, for the other parts, which do what it says (see OpenLead). What
	// goes over these connections, prompts among it, is not encrypted, and nobody is asked who he is: they
	// are for a network of one's own.
	Hosts []string
	Rank  int // which of them this process is
}

// A PartLostError says that the connection to another part is gone: the process has ended, or its
// machine. Nothing can be computed then until all parts are started again.
type PartLostError struct {
	Part, Parts int
	Why         error
}

func (e *PartLostError) Error() string {
	return fmt.Sprintf("mlx: part %d, of parts 0 to %d, is lost: %v; start all parts again", e.Part,
		e.Parts-1, e.Why)
}

func (e *PartLostError) Unwrap() error { return e.Why }

// A SplitError says why a network cannot be split into so many parts.
type SplitError struct {
	Parts int
	Why   string
}

func (e *SplitError) Error() string {
	return fmt.Sprintf("mlx: the network cannot be split into %d parts: %s", e.Parts, e.Why)
}
