package buckets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"gotest.tools/v3/assert"

	"loadstone/internal/broker"
	"loadstone/internal/buckets"
	"loadstone/internal/objects"
)

// natsServer starts a NATS server that keeps objects, with a configuration of its own or "".
func natsServer(t *testing.T, config string) (url string) {
	t.Helper()
	file := ""
	if config != "" {
		file = filepath.Join(t.TempDir(), "nats.conf")
		assert.NilError(t, os.WriteFile(file, []byte(config), 0o600))
	}
	s, err := broker.ServeStore("127.0.0.1:0", file, t.TempDir())
	assert.NilError(t, err)
	t.Cleanup(s.Close)
	return s.URL
}

func opened(t *testing.T, address string, access broker.Access) objects.Bucket {
	t.Helper()
	b, err := buckets.Open(t.Context(), address, access)
	assert.NilError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func TestNATS(t *testing.T) {
	url := natsServer(t, "") + "/agents"
	testStore(t, func(t *testing.T) objects.Bucket { return opened(t, url, broker.Access{}) })
}

func TestNATSLostAnswers(t *testing.T) {
	t.Parallel() // it waits
	p := newProxy(t, strings.TrimPrefix(natsServer(t, ""), "nats://"))
	testLostAnswers(t, opened(t, "nats://"+p.addr+"/agents", broker.Access{}), p)
}

// A bucket outlives its server and its clients.
func TestNATSRestart(t *testing.T) {
	dir := t.TempDir()
	s, err := broker.ServeStore("127.0.0.1:0", "", dir)
	assert.NilError(t, err)
	b := opened(t, s.URL+"/agents", broker.Access{})
	small := put(t, b, "a/small", "small", objects.None)
	large := strings.Repeat("large ", 1<<20)
	largeVersion := put(t, b, "a/large", large, objects.None)
	assert.NilError(t, b.Close())
	s.Close()
	s, err = broker.ServeStore("127.0.0.1:0", "", dir)
	assert.NilError(t, err)
	t.Cleanup(s.Close)
	b = opened(t, s.URL+"/agents", broker.Access{})
	holds(t, b, "a/small", "small", small)
	holds(t, b, "a/large", large, largeVersion)
	next := put(t, b, "a/small", "next", small)
	holds(t, b, "a/small", "next", next)
}

// What large objects have in the object store is deleted with them, and what a write has left there
// that was cut off, when it is old.
func TestNATSLargeObjects(t *testing.T) {
	url := natsServer(t, "max_payload: 256KB\n")
	b := opened(t, url+"/agents", broker.Access{})
	nc, err := broker.Connect(url, broker.Access{}, "test")
	assert.NilError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	assert.NilError(t, err)
	store, err := js.ObjectStore(t.Context(), "agents")
	assert.NilError(t, err)
	kept := func() int {
		all, err := store.List(t.Context())
		if err == jetstream.ErrNoObjectsFound {
			return 0
		}
		assert.NilError(t, err)
		return len(all)
	}
	text := func(n int) string { return strings.Repeat(fmt.Sprint(n, " "), 200_000) }
	first := put(t, b, "a/large", text(1), objects.None)
	assert.Equal(t, kept(), 1)
	holds(t, b, "a/large", text(1), first)
	_, err = b.Put(t.Context(), "a/large", []byte(text(2)), objects.None)
	assert.ErrorIs(t, err, objects.ErrChanged)
	assert.Equal(t, kept(), 1)
	second := put(t, b, "a/large", text(2), first)
	assert.Equal(t, kept(), 1)
	holds(t, b, "a/large", text(2), second)
	put(t, b, "a/large", text(3), objects.Any)
	assert.Equal(t, kept(), 1)
	assert.NilError(t, b.Delete(t.Context(), "a/large", objects.Any))
	assert.Equal(t, kept(), 0)

	put(t, b, "a/large", text(4), objects.None)
	_, err = store.PutString(t.Context(), "left-behind", text(5))
	assert.NilError(t, err)
	buckets.SetUnused(t, 0)
	again := opened(t, url+"/agents", broker.Access{})
	assert.Equal(t, kept(), 1)
	data, _ := get(t, again, "a/large")
	assert.Equal(t, data, text(4))
}

// NATS' own users and TLS decide who reads memories; whoever is not let in is told so, without
// secrets.
func TestNATSAccess(t *testing.T) {
	url := natsServer(t, "authorization {user: me, password: secret}\n")
	host := strings.TrimPrefix(url, "nats://")
	b := opened(t, "nats://me:secret@"+host+"/agents", broker.Access{})
	put(t, b, "a", "x", objects.None)
	plain, err := broker.Serve("127.0.0.1:0", "")
	assert.NilError(t, err)
	t.Cleanup(plain.Close)
	for address, want := range map[string]string{
		"nats://me:wrong-secret@" + host + "/agents": "refuses these credentials",
		"nats://" + host + "/agents":                 "refuses these credentials",
		plain.URL + "/agents":                        "has no JetStream, which keeps objects: loadstone store starts one that has",
		"nats://me:secret@192.0.2.1:4222/agents":     "want tls:// in its address",
		"nats://127.0.0.1:1/agents":                  "nothing answers there",
		"nats://me:secret@127.0.0.1:4222":            "want nats://HOST:4222/BUCKET",
		"nats://me:secret@127.0.0.1:4222/":           "want nats://HOST:4222/BUCKET",
		"nats://me:secret@127.0.0.1:4222/a/b c":      "want nats://HOST:4222/BUCKET",
		"nats://127.0.0.1:4222/a?replicas=many":      "replicas=1 to replicas=5",
		"nats://127.0.0.1:4222/a?copies=2":           `"copies" means nothing`,
		"http://me:secret@127.0.0.1/agents":          "want s3://BUCKET/PREFIX or nats://",
	} {
		_, err := buckets.Open(t.Context(), address, broker.Access{})
		assert.Check(t, err != nil && strings.Contains(err.Error(), want), "%s: %v", address, err)
		assert.Check(t, !strings.Contains(fmt.Sprint(err), "secret"), "%v", err)
	}
}

// A stream that does not keep what the contract says is refused by name.
func TestNATSOtherStreams(t *testing.T) {
	url := natsServer(t, "")
	nc, err := nats.Connect(url)
	assert.NilError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	assert.NilError(t, err)
	for name, c := range map[string]jetstream.KeyValueConfig{"old": {History: 5}, "aged": {TTL: time.Hour}, "kept": {}} {
		c.Bucket = name
		_, err := js.CreateKeyValue(t.Context(), c)
		assert.NilError(t, err)
		_, err = buckets.Open(t.Context(), url+"/"+name, broker.Access{})
		assert.Check(t, err != nil && strings.Contains(err.Error(), "belongs to something else"), "%s: %v", name, err)
	}
}
