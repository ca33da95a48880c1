//go:build mlx

package metal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"strconv"
	"sync/atomic"
	"time"
)

// A Lead is a network that is split over several processes, as the engine in one of them sees it:
// every call goes to all parts at once. The Lead is part 0; the other parts run Follow.
type Lead struct {
	*Model
	others []*otherPart
	lost   atomic.Pointer[PartLostError]
}

// An otherPart is what part 0 knows of another part.
type otherPart struct {
	*rpc.Client
	global, sliding int // bytes of one token's KV in the part's global and sliding layers
}

// OpenLead opens part 0 of a network, and waits until all other parts have connected.
func OpenLead(dir string, o Options) (*Lead, error) {
	m, err := Open(dir, o)
	if err != nil {
		return nil, err
	}
	l, err := leadOthers(m, o.Part)
	if err != nil {
		m.Close()
	}
	return l, err
}

// leadOthers accepts the connections of the other parts.
func leadOthers(m *Model, p Part) (*Lead, error) {
	address, err := p.lead()
	if err != nil {
		return nil, err
	}
	// A machine that stops does not close its connections; keep-alive probes notice it within 20 s.
	listen := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	l, err := listen.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	conns := make([]io.ReadWriteCloser, len(p.Hosts)-1)
	for range conns {
		c, err := l.Accept()
		if err != nil {
			return nil, err
		}
		var rank [1]byte
		if _, err := io.ReadFull(c, rank[:]); err != nil {
			return nil, err
		}
		if n := int(rank[0]); n < 1 || n > len(conns) || conns[n-1] != nil {
			return nil, fmt.Errorf("mlx: part %d came from %s; parts 1 to %d are to come, once",
				n, c.RemoteAddr(), len(conns))
		}
		conns[rank[0]-1] = c
	}
	return newLead(m, conns...)
}

// Follow opens a part other than 0 of a network, and carries out the calls of part 0 until that
// closes the connection or ctx ends.
func Follow(ctx context.Context, dir string, o Options) error {
	m, err := Open(dir, o)
	if err != nil {
		return err
	}
	defer m.Close()
	address, err := o.Part.lead()
	if err != nil {
		return err
	}
	for { // part 0 listens once its weights are read
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			defer context.AfterFunc(ctx, func() { c.Close() })()
			if _, err := c.Write([]byte{byte(o.Part.Rank)}); err != nil {
				return err
			}
			return m.follow(c)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// lead returns the address at which part 0 listens for the other parts: the port after the one in
// Hosts, which MLX's ring uses.
func (p Part) lead() (string, error) {
	host, port, err := net.SplitHostPort(p.Hosts[0])
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+1)), err
}

// newLead returns the Lead of the parts at the other ends of conns, which are in the order of their
// ranks. Close closes the connections.
func newLead(m *Model, conns ...io.ReadWriteCloser) (*Lead, error) {
	l := &Lead{Model: m}
	for i, c := range conns {
		w := watched{c, func(err error) {
			l.lost.CompareAndSwap(nil, &PartLostError{i + 1, 1 + len(conns), err})
		}}
		l.others = append(l.others, &otherPart{Client: rpc.NewClient(w)})
	}
	replies, err := l.all("Size", func(int) any { return Call{} }, func() error { return nil })
	if err != nil {
		return nil, err
	}
	for i, r := range replies {
		l.others[i].global, l.others[i].sliding = r.Global, r.Sliding
	}
	return l, nil
}

// A watched connection calls gone with the error of a read or write that fails.
type watched struct {
	io.ReadWriteCloser
	gone func(error)
}

func (w watched) Read(b []byte) (int, error)  { return w.watch(w.ReadWriteCloser.Read(b)) }
func (w watched) Write(b []byte) (int, error) { return w.watch(w.ReadWriteCloser.Write(b)) }

func (w watched) watch(n int, err error) (int, error) {
	if err != nil {
		w.gone(err)
	}
	return n, err
}

// Lost returns a *PartLostError once the connection to a part has failed, also between two steps.
func (l *Lead) Lost() error {
	if err := l.lost.Load(); err != nil {
		return err
	}
	return nil
}

// all calls the method what of every other part's Follower, with args(i) for part i+1, and own
// beside it, and waits for all of them. Once a part is lost it returns that error alone, because
// the errors of the other parts follow from it.
func (l *Lead) all(what string, args func(i int) any, own func() error) ([]*Reply, error) {
	replies, err := l.each(what, args, own)
	if err != nil {
		err = cmp.Or(l.Lost(), err)
	}
	return replies, err
}

// each does the same, but returns the errors of all parts.
func (l *Lead) each(what string, args func(i int) any, own func() error) ([]*Reply, error) {
	var replies []*Reply
	var calls []*rpc.Call
	for i, o := range l.others {
		replies = append(replies, new(Reply))
		calls = append(calls, o.Go("Follower."+what, args(i), replies[i], nil))
		if o.gone(calls[i]) { // own would wait for it in a sum
			return nil, fmt.Errorf("mlx: part %d has gone: %w", i+1, calls[i].Error)
		}
	}
	err := own()
	for i, c := range calls {
		if <-c.Done; c.Error != nil {
			err = errors.Join(err, fmt.Errorf("mlx: part %d: %w", i+1, c.Error))
		}
	}
	return replies, err
}

// gone reports whether a call has failed at once, because the connection is closed.
func (*otherPart) gone(c *rpc.Call) bool {
	select {
	case <-c.Done:
		c.Done <- c // for the code that waits for the result
		return c.Error != nil
	default:
		return false
	}
}

// KVFormat also has the number of parts: a memory that was saved with one number of parts cannot be
// read with another.
func (l *Lead) KVFormat() string {
	return fmt.Sprintf("%d-part %s", 1+len(l.others), l.Model.KVFormat())
}

// KVBytesPerToken is the sum over all parts.
func (l *Lead) KVBytesPerToken() (global, sliding int) {
	global, sliding = l.Model.KVBytesPerToken()
	for _, o := range l.others {
		global, sliding = global+o.global, sliding+o.sliding
	}
	return global, sliding
}

// AllocKV allocates the caches of all parts.
func (l *Lead) AllocKV(blocks, windowSlots, blockTokens int) error {
	c := Call{Numbers: []int{blocks, windowSlots, blockTokens}}
	_, err := l.all("AllocKV", func(int) any { return c },
		func() error { return l.Model.AllocKV(blocks, windowSlots, blockTokens) })
	return err
}

// Step runs a batch; engine.Model documents it. The head is computed in part 0 alone.
func (l *Lead) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	c := Call{Tokens: tokens, Lens: lens, Starts: starts, Tables: tables, WindowSlots: windowSlots}
	_, err := l.all("Step", func(int) any { return c }, func() error {
		return l.Model.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
	})
	return err
}

// CopyKV copies in the caches of all parts.
func (l *Lead) CopyKV(dst, src, dstSlot, srcSlot, tokens int) error {
	c := Call{Numbers: []int{dst, src, dstSlot, srcSlot, tokens}}
	_, err := l.all("CopyKV", func(int) any { return c },
		func() error { return l.Model.CopyKV(dst, src, dstSlot, srcSlot, tokens) })
	return err
}

// kvBytes returns the size of a part's KV of so many tokens, where global and sliding are its bytes
// per token. Without a window slot (-1) the sliding layers have none.
func kvBytes(global, sliding, windowSlot, tokens int) int {
	if windowSlot < 0 {
		sliding = 0
	}
	return tokens * (global + sliding)
}

// ReadKV reads the KV of all parts, one part after the other. So only the same number of parts can
// use what it has read.
func (l *Lead) ReadKV(block, windowSlot, tokens int, dst []byte) error {
	global, sliding := l.Model.KVBytesPerToken()
	own := kvBytes(global, sliding, windowSlot, tokens)
	c := Call{Numbers: []int{block, windowSlot, tokens}}
	replies, err := l.all("ReadKV", func(int) any { return c },
		func() error { return l.Model.ReadKV(block, windowSlot, tokens, dst[:own]) })
	for dst = dst[own:]; err == nil && len(replies) > 0; replies = replies[1:] {
		dst = dst[copy(dst, replies[0].KV):]
	}
	return err
}

// WriteKV is the inverse of ReadKV.
func (l *Lead) WriteKV(block, windowSlot, tokens int, src []byte) error {
	global, sliding := l.Model.KVBytesPerToken()
	own := kvBytes(global, sliding, windowSlot, tokens)
	rest := src[own:]
	_, err := l.all("WriteKV", func(i int) any {
		n := kvBytes(l.others[i].global, l.others[i].sliding, windowSlot, tokens)
		c := Call{Numbers: []int{block, windowSlot, tokens}, KV: rest[:n]}
		rest = rest[n:]
		return c
	}, func() error { return l.Model.WriteKV(block, windowSlot, tokens, src[:own]) })
	return err
}

// Close closes the connections, which ends Follow in the other parts, and closes the model.
func (l *Lead) Close() error {
	for _, o := range l.others {
		o.Close()
	}
	return l.Model.Close()
}

// follow serves the calls of the Lead at the other end of conn until conn is closed.
func (m *Model) follow(conn io.ReadWriteCloser) error {
	s := rpc.NewServer()
	if err := s.Register(&Follower{m}); err != nil {
		return err
	}
	s.ServeConn(conn)
	return nil
}

// A Follower is a part as its Lead calls it by net/rpc, which requires exported names of types and
// methods.
type Follower struct{ m *Model }

// A Call holds the arguments of one call, and a Reply its results.
type (
	Call struct {
		Numbers                                   []int
		Tokens, Lens, Starts, Tables, WindowSlots []int32
		KV                                        []byte
	}
	Reply struct {
		KV              []byte
		Global, Sliding int
	}
)

// Size returns the bytes of one token in the part's caches.
func (f *Follower) Size(_ Call, r *Reply) error {
	r.Global, r.Sliding = f.m.KVBytesPerToken()
	return nil
}

// AllocKV and the methods below call those of Model. Step computes no logits; part 0 does.
func (f *Follower) AllocKV(c Call, _ *Reply) error {
	return f.m.AllocKV(c.Numbers[0], c.Numbers[1], c.Numbers[2])
}

func (f *Follower) Step(c Call, _ *Reply) error {
	return f.m.Step(c.Tokens, c.Lens, c.Starts, c.Tables, c.WindowSlots, nil, nil, nil, nil)
}

func (f *Follower) CopyKV(c Call, _ *Reply) error {
	n := c.Numbers
	return f.m.CopyKV(n[0], n[1], n[2], n[3], n[4])
}

func (f *Follower) ReadKV(c Call, r *Reply) error {
	global, sliding := f.m.KVBytesPerToken()
	n := c.Numbers
	r.KV = make([]byte, kvBytes(global, sliding, n[1], n[2]))
	return f.m.ReadKV(n[0], n[1], n[2], r.KV)
}

func (f *Follower) WriteKV(c Call, _ *Reply) error {
	return f.m.WriteKV(c.Numbers[0], c.Numbers[1], c.Numbers[2], c.KV)
}
