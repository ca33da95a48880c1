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

// A Lead is a network that is split over several processes, for the engine of one of them: every call
// goes to all parts at once. It is part 0 itself; the others follow.
type Lead struct {
	*Model
	others []*otherPart
	lost   atomic.Pointer[PartLostError]
}

// An otherPart is what part 0 knows of another part.
type otherPart struct {
	*rpc.Client
	global, sliding int // bytes of a token
}

// OpenLead opens part 0 of a network, and waits for the other parts.
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

// leadOthers takes the connections of the other parts.
func leadOthers(m *Model, p Part) (*Lead, error) {
	address, err := p.lead()
	if err != nil {
		return nil, err
	}
	// A part whose machine is gone says nothing; the probes find out in 20 s.
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

// Follow opens a part other than 0 of a network, and does what part 0 says until that ends or ctx
// does.
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

// lead returns the address at which part 0 listens for the others' calls: the port after that of its
// sums.
func (p Part) lead() (string, error) {
	host, port, err := net.SplitHostPort(p.Hosts[0])
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+1)), err
}

// newLead leads the parts at the other ends of connections, which are in the order of their ranks. The
// connections are closed with the Lead.
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

// A watched connection tells when it is gone.
type watched struct {
	io.ReadWriteCloser
	gone func(error)
}

func (w watched) Read(b []byte) (int, error)  { return w.told(w.ReadWriteCloser.Read(b)) }
func (w watched) Write(b []byte) (int, error) { return w.told(w.ReadWriteCloser.Write(b)) }

func (w watched) told(n int, err error) (int, error) {
	if err != nil {
		w.gone(err)
	}
	return n, err
}

// Lost returns a *PartLostError once a part has gone, also between two steps.
func (l *Lead) Lost() error {
	if err := l.lost.Load(); err != nil {
		return err
	}
	return nil
}

// all has the other parts do what args say of each, and this one own, at once. Once a part is lost it
// fails with that alone: what the others say of it are the consequences.
func (l *Lead) all(what string, args func(i int) any, own func() error) ([]*Reply, error) {
	replies, err := l.each(what, args, own)
	if err != nil {
		err = cmp.Or(l.Lost(), err)
	}
	return replies, err
}

// each is all, without a look at what is lost.
func (l *Lead) each(what string, args func(i int) any, own func() error) ([]*Reply, error) {
	var replies []*Reply
	var calls []*rpc.Call
	for i, o := range l.others {
		replies = append(replies, new(Reply))
		calls = append(calls, o.Go("Follower."+what, args(i), replies[i], nil))
		if o.gone(calls[i]) { // a sum would wait for it
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

// gone reports whether a call has failed already, because there is no connection.
func (*otherPart) gone(c *rpc.Call) bool {
	select {
	case <-c.Done:
		c.Done <- c // for who waits for the result
		return c.Error != nil
	default:
		return false
	}
}

// KVFormat says that the cache is in parts, too: what one number of parts has saved is of no use to
// another.
func (l *Lead) KVFormat() string {
	return fmt.Sprintf("%d-part %s", 1+len(l.others), l.Model.KVFormat())
}

// KVBytesPerToken is that of all parts.
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

// Step runs a batch; engine.Model documents it. The head is computed here alone.
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

// kvBytes returns the bytes that a part has of so many tokens.
func kvBytes(global, sliding, windowSlot, tokens int) int {
	if windowSlot < 0 {
		sliding = 0
	}
	return tokens * (global + sliding)
}

// ReadKV reads what all parts have, one after the other. So a memory that was saved by so many parts
// is of use to so many.
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

// Close ends the connections, and so the other parts' Follow, and closes the model.
func (l *Lead) Close() error {
	for _, o := range l.others {
		o.Close()
	}
	return l.Model.Close()
}

// follow does what the Lead at the other end of a connection says, until that ends.
func (m *Model) follow(conn io.ReadWriteCloser) error {
	s := rpc.NewServer()
	if err := s.Register(&Follower{m}); err != nil {
		return err
	}
	s.ServeConn(conn)
	return nil
}

// A Follower is a part as its Lead calls it, by net/rpc, whose types and methods must have exported
// names.
type Follower struct{ m *Model }

// A Call has the arguments of a call, and a Reply what it returns.
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

// Size returns what a token takes in the part's caches.
func (f *Follower) Size(_ Call, r *Reply) error {
	r.Global, r.Sliding = f.m.KVBytesPerToken()
	return nil
}

// AllocKV is that of Model, and so are the others.
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
