package snapshot

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// A preamble is everything in a file that comes before its chunks, verified.
type preamble struct {
	header Header
	tokens []int32  // as in a Snapshot
	sums   []uint32 // of the chunks
	raw    []byte   // the bytes of the header and of what follows it
}

// readPreamble reads and verifies what lies between the header, which readHeader has read, and the
// chunks.
func readPreamble(r io.Reader, h Header, header []byte) (*preamble, error) {
	raw := make([]byte, h.preambleBytes())
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, unread("tokens", err)
	}
	p := &preamble{header: h, raw: slices.Concat(header, raw)}
	n := 4 * (1 + h.Chunks())
	if checksum(header, raw[n:]) != binary.LittleEndian.Uint32(raw) {
		return nil, corrupt("checksum of header and tokens")
	}
	for at := 4; at < n; at += 4 {
		p.sums = append(p.sums, binary.LittleEndian.Uint32(raw[at:]))
	}
	for at := n; at < len(raw); at += 4 {
		p.tokens = append(p.tokens, int32(binary.LittleEndian.Uint32(raw[at:])))
	}
	return p, nil
}

// readChunk reads and verifies chunk i, which comes next in r, into dst.
func (p *preamble) readChunk(r io.Reader, i int, dst []byte) error {
	if _, err := io.ReadFull(r, dst); err != nil {
		return unread(fmt.Sprintf("block %d", i), err)
	}
	if checksum(dst) != p.sums[i] {
		return corrupt("checksum of block %d", i)
	}
	return nil
}
