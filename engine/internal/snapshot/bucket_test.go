package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/objects"
	"loadstone/internal/objects/objectstest"
	"loadstone/internal/seal"
)

// large is a header with as much KV in a token as the smallest models have that people use.
var large = Header{Fingerprint: "fake", Shape: kv.Shape{BlockTokens: 32, GlobalBytes: 2048}}

// talk returns the snapshot of an agent whose conversation begins with the first common tokens of a
// seed and goes on with others of its own. As of a model, a token's KV is decided by what comes
// before.
func talk(h Header, common, own int, seed uint64) *Snapshot {
	h.Tokens = common + own
	tokens := make([]int32, h.Tokens)
	fill := make([]byte, h.Tokens*h.GlobalBytes)
	for i := range tokens {
		tokens[i] = int32(i)
		if i >= common {
			tokens[i] += int32(seed) << 16
		}
		rng := rand.NewPCG(uint64(tokens[i]), 1)
		for at := i * h.GlobalBytes; at < (i+1)*h.GlobalBytes; at += 8 {
			binary.LittleEndian.PutUint64(fill[at:], rng.Uint64())
		}
	}
	s := newSnapshot(h, tokens)
	for i := range h.Chunks() {
		at := h.offset(i)
		s.Set(i, fill[at:][:h.ChunkBytes(i)])
	}
	return s
}

// A hundred agents that share a system prompt take little more in the bucket, and on the way to it
// and from it, than what they do not share; sealed as well. Agents of two principals share nothing.
func TestBucketShares(t *testing.T) {
	const agents, common, own = 100, 1000, 200
	unique := int64(common+agents*own) * int64(large.GlobalBytes)
	for name, keys := range map[string][]*seal.Key{"plain": nil, "sealed": {key(t, 1)}} {
		t.Run(name, func(t *testing.T) {
			b := objectstest.NewMemory()
			open := func(cache int64) *Store {
				sys := objects.New(b, objects.Options{Fence: Fence, Term: time.Hour, Cache: cache, Keys: keys})
				s, err := OpenShared(sys, objects.Root, large, 1<<30, 0, time.Hour, keys...)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			save := func(s *Store, who kv.Agent, seed int) {
				h := large
				h.Agent = who
				if err := s.Hold(t.Context(), who, func() {}); err != nil {
					t.Fatal(err)
				}
				defer s.Release(who)
				snap := talk(h, common, own, uint64(seed))
				snap.grant = s.grant(who)
				if err := s.save(snap); err != nil {
					t.Fatal(err)
				}
			}
			within := func(what string, got int64) {
				t.Helper()
				t.Logf("%s: %d bytes, %.3f times %d", what, got, float64(got)/float64(unique), unique)
				if float64(got) > 1.1*float64(unique) {
					t.Errorf("%s: %d bytes, and %d are unique", what, got, unique)
				}
			}
			first := open(8 << 20)
			for i := range agents {
				save(first, named(fmt.Sprint("agent-", i)), i)
			}
			first.Close()
			within("stored", b.Size(""))
			within("put", b.Traffic().Put)

			before := b.Traffic().Got
			second := open(8 << 20)
			for i := range agents {
				who := named(fmt.Sprint("agent-", i))
				if err := second.Hold(t.Context(), who, func() {}); err != nil {
					t.Fatal(err)
				}
				got, err := allChunks(second, who)
				if want := talk(large, common, own, uint64(i)); err != nil ||
					!bytes.Equal(got, slices.Concat(want.chunks...)) {
					t.Fatalf("agent %d: the memory is another: %v", i, err)
				}
				second.Release(who)
			}
			within("got", b.Traffic().Got-before)

			stored := b.Size("chunks/")
			save(second, kv.Agent{Principal: "p", Name: "a"}, 0)
			one := b.Size("chunks/") - stored
			save(second, kv.Agent{Principal: "q", Name: "a"}, 0)
			if two := b.Size("chunks/") - stored; one < int64(common*large.GlobalBytes) || two != 2*one {
				t.Errorf("of two principals with one text, one takes %d bytes and both %d", one, two)
			}
			second.Close()
			for _, name := range b.Names("") {
				data, _, _ := b.Get(t.Context(), name)
				plain := bytes.Contains(data, talk(large, 1, 0, 0).chunks[0]) || bytes.Contains(data, []byte("agent-7"))
				if plain && keys != nil {
					t.Errorf("%s is not sealed", name)
				}
			}
		})
	}
}

// allChunks returns the KV of an agent's memory.
func allChunks(s *Store, agent kv.Agent) (all []byte, err error) {
	m, err := s.Open(agent)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	for i := range m.header.Chunks() {
		b, err := m.Chunk(i, make([]byte, m.header.maxChunk()))
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// A bucket that was sealed with another key is refused, and what is damaged in it is not read.
func TestBucketSealed(t *testing.T) {
	quiet(t)
	synctest.Test(t, func(t *testing.T) {
		b := objectstest.NewMemory()
		open := func(keys ...*seal.Key) (*Store, error) {
			return OpenShared(bucketSystem(b, keys...), objects.Root, small, 1<<20, 0, shareTerm, keys...)
		}
		s, err := open(key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := saveTurn(s, "ann", 5); err != nil {
			t.Fatal(err)
		}
		s.Close()
		for _, keys := range [][]*seal.Key{nil, {key(t, 2)}} {
			if _, err := open(keys...); err == nil || !strings.Contains(err.Error(), "another key") {
				t.Errorf("with %d other keys: %v", len(keys), err)
			}
		}
		// A new key first, the old one behind it: as with files.
		if s, err = open(key(t, 2), key(t, 1)); err != nil {
			t.Fatal(err)
		}
		if n := tokensOf(s, "ann"); n != 5 {
			t.Errorf("with a new key before the old one, %d tokens", n)
		}
		if _, err := saveTurn(s, "ann", 7); err != nil {
			t.Error(err)
		}
		rest()
		for _, name := range b.Names("chunks/") {
			b.Flip(name, 77)
		}
		s.Close() // which has what it has put in RAM
		if s, err = open(key(t, 2), key(t, 1)); err != nil {
			t.Fatal(err)
		}
		// What is found to be wrong is put again, though it has the name that it should have: the tokens,
		// and then the KV.
		for range 2 {
			if _, _, err := conversation(s, named("ann")); err == nil {
				t.Error("damaged chunks were read")
			}
			if _, err := saveTurn(s, "ann", 7); err != nil {
				t.Error(err)
			}
			rest()
		}
		if tokens, _, err := conversation(s, named("ann")); len(tokens) != 7 || err != nil {
			t.Errorf("saved again: %d tokens, %v", len(tokens), err)
		}
		s.Close()
		if s, err = open(key(t, 2)); err != nil {
			t.Fatalf("with the new key alone: %v", err)
		}
		if n := tokensOf(s, "ann"); n != 7 {
			t.Errorf("with the new key alone, %d tokens", n)
		}
		s.Close()
	})
}

// Stores of one bucket save, delete and collect at random, and are stopped in the middle of it: no
// memory that is there lacks a chunk, and in the end nothing is left that no memory needs.
func TestBucketCollects(t *testing.T) {
	quiet(t)
	removed := 0
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			g := bucketGround{objectstest.NewMemory()}
			var stores [3]*Store
			var processes [3]*objectstest.Process
			for i := range stores {
				s, p := member(t, g)
				stores[i], processes[i] = s, p.(*objectstest.Process)
			}
			collect := func(s *Store) {
				n, _ := s.fenced.Collect(func(text []byte) bool { return bytes.Contains(text, []byte(`"held":true`)) })
				removed += n
			}
			var work []chan struct{}
			do := func(f func()) {
				done := make(chan struct{})
				work = append(work, done)
				go func() { defer close(done); f() }()
			}
			for range 120 {
				i := rng.IntN(len(stores))
				s, p := stores[i], processes[i]
				agent := fmt.Sprint("agent-", rng.IntN(4))
				switch n := rng.IntN(100); {
				case n < 40:
					h := Header{Fingerprint: "fake", Shape: small.Shape}.of(agent, 4*(1+rng.IntN(3)))
					kind := byte(rng.IntN(3)) // so that memories have chunks in common, and leave them
					do(func() {
						s.Hold(t.Context(), h.Agent, func() {})
						defer s.Release(h.Agent)
						snap := complete(h, func(i int) byte { return kind + byte(10*i) })
						snap.grant = s.grant(h.Agent)
						s.save(snap)
					})
				case n < 50:
					do(func() {
						s.Hold(t.Context(), named(agent), func() {})
						defer s.Release(named(agent))
						s.Remove(named(agent), func(take func()) error { take(); return nil })
					})
				case n < 75:
					do(func() { collect(s) })
				case n < 85:
					p.StopAt(1 + rng.IntN(12))
				case n < 90:
					p.FailAt(1+rng.IntN(12), objectstest.AllFaults[rng.IntN(len(objectstest.AllFaults))])
				default:
					p.Resume()
				}
				time.Sleep(time.Duration(rng.IntN(400)) * time.Second)
			}
			for _, p := range processes {
				p.Resume()
			}
			for _, done := range work {
				<-done
			}
			for _, p := range processes {
				p.Settle()
			}
			time.Sleep(2 * shareTerm) // for what came late
			last, _ := member(t, g)
			for agent := range maps.Clone(last.index) {
				if _, _, err := conversation(last, agent); err != nil {
					t.Errorf("seed %d: %s: %v", seed, agent.Name, err)
				}
				last.Hold(t.Context(), agent, func() {})
				if _, err := last.Remove(agent, func(take func()) error { take(); return nil }); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				last.Release(agent)
			}
			for range 2 {
				collect(last)
				time.Sleep(time.Hour)
			}
			if left := g.Names("chunks/"); len(left) > 0 {
				t.Errorf("seed %d: left: %v", seed, left)
			}
			for _, s := range append(stores[:], last) {
				s.Close()
			}
		})
	}
	if t.Logf("%d chunks removed", removed); removed < 20 {
		t.Error("the test has seen too little")
	}
}
