package buckets_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/internal/objects"
)

// A proxy passes on what goes between clients and a server. Told to, it loses an answer: the
// request reaches the server, and the connection ends instead of the answer.
type proxy struct {
	addr string
	lose atomic.Int32 // answers to lose
	lost atomic.Int32
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	assert.NilError(t, err)
	p := &proxy{addr: l.Addr().String()}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			open[client], open[server] = true, true
			mu.Unlock()
			both := func() { client.Close(); server.Close() }
			all.Go(func() { defer both(); io.Copy(server, client) })
			all.Go(func() { defer both(); p.answers(client, server) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return p
}

func (p *proxy) answers(client io.Writer, server io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if n > 0 && p.lose.Add(-1) >= 0 {
			p.lost.Add(1)
			return
		}
		if n > 0 {
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// testLostAnswers: where the answer to a write is lost, the client finds out whether it was done,
// and it is done once. b's answers come through p.
func testLostAnswers(t *testing.T, b objects.Bucket, p *proxy) {
	const name = "lost/one"
	losing := func() { p.lose.Store(1) }
	losing()
	first := put(t, b, name, "first", objects.None)
	holds(t, b, name, "first", first)
	losing()
	second := put(t, b, name, "second", first)
	holds(t, b, name, "second", second)
	_, err := b.Put(t.Context(), name, []byte("third"), first)
	assert.ErrorIs(t, err, objects.ErrChanged)
	losing()
	data, _ := get(t, b, name)
	assert.Equal(t, data, "second")
	losing()
	assert.Equal(t, len(list(t, b, "lost/")), 1)
	losing()
	third := put(t, b, name, "third", objects.Any)
	holds(t, b, name, "third", third)
	losing()
	// That the object is gone already, by its own request before, the client may take for somebody
	// else's doing.
	if err := b.Delete(t.Context(), name, third); err != nil {
		assert.ErrorIs(t, err, objects.ErrChanged)
	}
	absent(t, b, name)
	assert.Equal(t, p.lost.Load(), int32(6))
}
