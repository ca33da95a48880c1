package metal

import "fmt"

// A Part says which share of a network this process computes, where several processes compute one
// network together (tensor parallelism). A part has its share of the weights and of the KV: some of
// the heads of every layer and some of the inner dimensions of its MLP. All parts run the same
// steps. A layer needs two sums over all parts, one after attention and one after the MLP, which
// go over MLX's ring of TCP connections. The zero Part is the whole network.
//
// Embedding, norms and head are the same in all parts, and so are their results, to the last bit: a
// sum is made once and sent to all. They differ in the last bits from those of the network in one
// process, because a sum over parts adds its terms in another order.
//
// A process that has joined as a part stays that part, for every network that it opens, and can no
// longer compute a network alone. When a part is lost, steps of the others fail; see Lead.Lost.
type Part struct {
	// Hosts are the addresses, host:port, at which the parts listen for each other, in the order of
	// their ranks. Part 0 also listens at the port after its own, where the other parts connect to
	// be told what to do (see OpenLead). These connections carry prompts among other things, are
	// not encrypted and ask for no credentials: use them in a private network only.
	Hosts []string
	Rank  int // the index of this process in Hosts
}

// A PartLostError says that the connection to another part is lost, because its process or its
// machine has stopped. Nothing can be computed until all parts are started again.
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
