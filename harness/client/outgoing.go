package client

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// An outgoing is the bytes of a request's body, in memory that is used again for later ones: of an
// agent's prompts each is hundreds of kilobytes, and to collect them took as much time as to send
// them. The transport may read a body even after the response has come, and may read it again over
// another connection, so it is given back when all readers are closed and nobody asks for more. Of
// an exchange that failed or was cancelled it is not: there a reader may be closed while it is
// read.
type outgoing struct {
	bytes []byte
	users atomic.Int32

	// What of bytes is a list of messages, for the next prompt, which mostly goes on from them: what
	// comes before the list, its values, and where each ends.
	head   []byte
	values []json.RawMessage
	ends   []int
}

// room is memory for a body of so many bytes.
func (p *Prompt) room(n int) []byte {
	if p.out == nil {
		return make([]byte, 0, n)
	}
	p.out.forget()
	p.out.bytes = slices.Grow(p.out.bytes[:0], n)
	return p.out.bytes
}

// forget is called where bytes will not have the list of messages that they had.
func (o *outgoing) forget() { o.values, o.ends = nil, nil }

// listed is memory for a body of so many bytes, which begins with a head and a list of values.
// Those that the last body had in the same places, which are the same memory, stand there already.
func (p *Prompt) listed(head []byte, values []json.RawMessage, n int) []byte {
	o := p.out
	if o == nil {
		return appendList(append(make([]byte, 0, n), head...), values)
	}
	kept := 0
	if bytes.Equal(o.head, head) {
		for kept < min(len(values), len(o.values)) && len(values[kept]) == len(o.values[kept]) &&
			len(values[kept]) > 0 && &values[kept][0] == &o.values[kept][0] {
			kept++
		}
	}
	out := o.bytes[:0]
	if kept > 0 {
		out = o.bytes[:o.ends[kept-1]]
	}
	out = slices.Grow(out, n-len(out))
	if kept == 0 {
		out = append(append(out, head...), '[')
	}
	o.head = append(o.head[:0], head...)
	o.values, o.ends = append(o.values[:kept], values[kept:]...), o.ends[:kept]
	for i, v := range values[kept:] {
		if kept+i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
		o.ends = append(o.ends, len(out))
	}
	return append(out, ']')
}

var outgoings = sync.Pool{New: func() any { return &outgoing{} }}

// newOutgoing is memory for a body, with one user: who asks for it.
func newOutgoing() *outgoing {
	o := outgoings.Get().(*outgoing)
	o.users.Store(1)
	return o
}

// reader is a body for the transport, which closes it.
func (o *outgoing) reader() (io.ReadCloser, error) {
	o.users.Add(1)
	r := &outgoingReader{of: o}
	r.Reader.Reset(o.bytes)
	return r, nil
}

// maxOutgoing bounds the memory that is used again.
const maxOutgoing = 16 << 20

// done takes a user away. The memory of the last is given back.
func (o *outgoing) done() {
	if o.users.Add(-1) == 0 && cap(o.bytes) <= maxOutgoing {
		outgoings.Put(o)
	}
}

// An outgoingReader reads a body.
type outgoingReader struct {
	bytes.Reader
	of     *outgoing
	closed atomic.Bool
}

// Close may be called more than once.
func (r *outgoingReader) Close() error {
	if !r.closed.Swap(true) {
		r.of.done()
	}
	return nil
}

// A bodyConn writes what an outgoingReader has from where it is, in one write. Without it the
// transport copies it through a buffer of 32 KiB, and has as many more system calls.
type bodyConn struct{ *net.TCPConn }

// ReadFrom is what the transport calls with a body that is bounded by its length.
func (c bodyConn) ReadFrom(from io.Reader) (int64, error) {
	if l, ok := from.(*io.LimitedReader); ok {
		if body, ok := l.R.(*outgoingReader); ok && int64(body.Len()) <= l.N {
			n, err := body.WriteTo(c.TCPConn)
			l.N -= n
			return n, err
		}
	}
	return c.TCPConn.ReadFrom(from)
}
