package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"loadstone/engine/internal/kv"
)

// TestHeaderJSON: a header is, byte for byte, what json.Marshal makes of the same content, for any
// numbers of blocks, and what it says is read back.
func TestHeaderJSON(t *testing.T) {
	type tensor struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		now := time.Unix(random.Int64N(1<<32), random.Int64N(1e9)).UTC()
		h := Header{
			Agent:       kv.Agent{Name: `a,"tag":{` + strconv.Itoa(random.Int())},
			Fingerprint: "<f>",
			Tokens:      1 + random.IntN(3000),
			Uncomputed:  random.IntN(2),
			Tagged:      random.IntN(2) == 0,
			Shape: kv.Shape{BlockTokens: 1 + random.IntN(4), Window: random.IntN(400),
				GlobalBytes: random.IntN(9), SlidingBytes: 1},
			Created: now,
			Saved:   now.Add(time.Second),
		}
		if random.IntN(2) == 0 {
			h.Agent.Principal, h.Salt = "p&q", "salt"
		}
		h.Earlier = random.IntN(1 + min(h.Blocks(), h.FirstSlot()))

		sums, at := int64(4*(1+h.Chunks())), h.preambleBytes()
		content := map[string]any{
			"__metadata__": h.metadata(),
			"checksums":    tensor{"U32", []int{1 + h.Chunks()}, [2]int64{0, sums}},
			"tokens":       tensor{"I32", []int{h.Tokens + h.Uncomputed}, [2]int64{sums, at}},
		}
		for i := range h.Chunks() {
			size, name := h.ChunkBytes(i), "block."+strconv.Itoa(i)
			if i >= h.Blocks() {
				name = "behind." + strconv.Itoa(i-h.Blocks())
			}
			content[name] = tensor{"U8", []int{size}, [2]int64{at, at + int64(size)}}
			at += int64(size)
		}
		if h.Tagged {
			content["tag"] = tensor{"U8", []int{tagBytes}, [2]int64{at, at + tagBytes}}
		}
		want, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		for len(want)%8 != 0 {
			want = append(want, ' ')
		}
		got := h.encode()
		if n := binary.LittleEndian.Uint64(got); string(got[8:]) != string(want) ||
			n != uint64(len(want)) {
			t.Fatalf("%+v: %d bytes:\n%.2000s\nwant %d:\n%.2000s", h, n, got[8:], len(want), want)
		}
		if read, err := parseHeader(got[8:]); err != nil || read != h {
			t.Fatalf("read as %+v, %v; want %+v", read, err, h)
		}
	}
}

// BenchmarkHeader reads the header of a memory of 32000 tokens, from RAM.
func BenchmarkHeader(b *testing.B) {
	h := Header{Agent: kv.Agent{Name: "ann"}, Tokens: 32_000, Shape: kv.Shape{BlockTokens: 32,
		Window: 512, GlobalBytes: 6 << 10, SlidingBytes: 30 << 10}}
	raw := h.encode()
	for b.Loop() {
		if _, _, err := readHeader(bytes.NewReader(raw), h.fileBytes(len(raw))); err != nil {
			b.Fatal(err)
		}
	}
}
