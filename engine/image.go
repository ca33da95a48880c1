package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// An image is an agent's memory outside the pool: in RAM on its way to the disk, or as a file.
//
// The file is a safetensors file (https://github.com/huggingface/safetensors#format): the length of the header as a
// little-endian uint64, the header as JSON, the tensors' data in this order:
//
//	checksums  U32 [1+blocks+behind]  CRC-32C of header, its length and tokens; then of each block
//	tokens     I32 [tokens+last]  last is 1 where the answer's last token has no KV: nobody needed it
//	block.N    U8 [bytes]      block N as Model.ReadKV gave it, with its local where that is in the window at the end
//	behind.K   U8 [bytes]      the K-th block before those that have one, again and with its local
//
// The last are there for who comes back to where the last request began, or asks its question again, as far as their
// locals had outlived it. Nobody else reads them.
//
// What the memory is (see label) is in the header's __metadata__, as strings. A block has its own checksum so that a
// restore reads and verifies no more than the prompt begins with. CRC-32C finds every flipped bit and every burst of up
// to 32 at the speed of memory; against forgery no checksum without a key helps, and the files are private.
//
// A header is valid when it is, byte for byte, the one we would write for its metadata. So nothing in a damaged or
// hostile file, no offset or shape, is ever trusted.
type image struct {
	label  label
	tokens []int32  // label.tokens, and label.last more
	blocks [][]byte // and those behind; nil where not copied yet
	copied int      // how many are not nil

	stale   atomic.Bool   // it is not to be written any more
	written chan struct{} // closed when it is on disk, or never will be
	err     error         // why not; valid then
}

// A label says what a memory is: all that can be known of a file by reading its header alone.
type label struct {
	agent       string
	fingerprint string // of the model; see Config.Fingerprint
	tokens      int
	last        int // how many more the conversation has, without KV: 0 or 1
	behind      int // how many blocks are there a second time
	shape
	created time.Time
	saved   time.Time
}

const (
	imageFamily = "loadstone memory "
	imageFormat = imageFamily + "4"
	maxHeader   = 64 << 20 // bytes of JSON; a memory of a million tokens in blocks of one has as many
	maxAgent    = 4096     // bytes of an agent's name that can be saved
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("memory file is %w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

func (l *label) blocks() int { return (l.tokens + l.blockTokens - 1) / l.blockTokens }

// from is the first block with a local.
func (l *label) from() int { return l.low(l.tokens) }

// A block is numbered as it lies in the file: those behind come after all others.

// at is how many bytes of blocks come before block i.
func (l *label) at(i int) int64 {
	more := int64(max(0, i-l.blocks())) * int64(l.blockTokens) * int64(l.tokenBytes+l.localBytes)
	return l.bytes(min(i*l.blockTokens, l.tokens), l.from()) + more
}

// blockBytes is the size of block i, which may be partial if it is the conversation's last.
func (l *label) blockBytes(i int) int { return int(l.at(i+1) - l.at(i)) }

// blockLen is how many tokens block i has.
func (l *label) blockLen(i int) int { return min(l.blockTokens, l.tokens-l.place(i)*l.blockTokens) }

// place is where in the conversation block i is.
func (l *label) place(i int) int {
	if i < l.blocks() {
		return i
	}
	return l.from() - 1 - (i - l.blocks())
}

// whole is the block that has place n with its local.
func (l *label) whole(n int) int {
	if n >= l.from() {
		return n
	}
	return l.blocks() + l.from() - 1 - n
}

// parts is how many blocks are in the file.
func (l *label) parts() int { return l.blocks() + l.behind }

// size is the size of the file, whose header takes n bytes.
func (l *label) size(n int) int64 { return int64(n) + l.before() + l.kvBytes() }

// kvBytes is the size of all blocks.
func (l *label) kvBytes() int64 { return l.at(l.parts()) }

// before is the size of what comes before the blocks and after the header.
func (l *label) before() int64 { return 4 * int64(1+l.parts()+l.tokens+l.last) }

// encode makes the header and its length.
func (l *label) encode() []byte {
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	n := l.parts()
	at := int64(4 * (1 + n))
	header := map[string]any{
		"__metadata__": map[string]string{
			"format":       imageFormat,
			"agent":        url.PathEscape(l.agent), // any bytes become ASCII
			"fingerprint":  url.PathEscape(l.fingerprint),
			"tokens":       strconv.Itoa(l.tokens),
			"last":         strconv.Itoa(l.last),
			"behind":       strconv.Itoa(l.behind),
			"block_tokens": strconv.Itoa(l.blockTokens),
			"window":       strconv.Itoa(l.window),
			"token_bytes":  strconv.Itoa(l.tokenBytes),
			"local_bytes":  strconv.Itoa(l.localBytes),
			"created":      l.created.UTC().Format(time.RFC3339Nano),
			"saved":        l.saved.UTC().Format(time.RFC3339Nano),
		},
		"checksums": entry{"U32", []int{1 + n}, [2]int64{0, at}},
		"tokens":    entry{"I32", []int{l.tokens + l.last}, [2]int64{at, l.before()}},
	}
	at = l.before()
	for i := range n {
		size, name := l.blockBytes(i), "block."+strconv.Itoa(i)
		if i >= l.blocks() {
			name = "behind." + strconv.Itoa(i-l.blocks())
		}
		header[name] = entry{"U8", []int{size}, [2]int64{at, at + int64(size)}}
		at += int64(size)
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err) // strings and numbers only
	}
	for len(text)%8 != 0 { // the data are to be aligned
		text = append(text, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
}

// readLabel reads the header of a file of at most most bytes, and returns it as it is in the file too.
func readLabel(r io.Reader, most int64) (label, []byte, error) {
	raw := make([]byte, 8)
	if _, err := io.ReadFull(r, raw); err != nil {
		return label{}, nil, corrupt("it ends before its header")
	}
	n := binary.LittleEndian.Uint64(raw)
	if n > maxHeader || int64(n) > most-8 {
		return label{}, nil, corrupt("a header of %d bytes in a file of %d", n, most)
	}
	raw = append(raw, make([]byte, n)...)
	if _, err := io.ReadFull(r, raw[8:]); err != nil {
		return label{}, nil, corrupt("header: %v", err)
	}
	l, err := parseLabel(raw[8:])
	if err != nil {
		return label{}, nil, err
	}
	// The numbers are bounded by the size of the file before anything is made of them.
	for _, n := range []int{l.blockTokens, l.window, l.tokenBytes, l.localBytes} {
		if n < 0 || n > math.MaxInt32 {
			return label{}, nil, corrupt("a number of %d in its header", n)
		}
	}
	all := int64(max(1, l.tokens))
	if l.tokens < 0 || l.behind < 0 || l.last < 0 || l.last > min(1, l.tokens) || all > most/4 || l.blockTokens < 1 || int64(max(l.tokenBytes, l.localBytes)) > math.MaxInt64/8/all ||
		l.behind > min(l.blocks(), l.from()) || l.size(len(raw)) > most {
		return label{}, nil, corrupt("%d tokens of %d bytes in blocks of %d do not fit into %d bytes", l.tokens, l.tokenBytes, l.blockTokens, most)
	}
	// Each block has more than 40 bytes of header, so encode makes no more than was read.
	if l.parts() > len(raw)/40 || !bytes.Equal(raw, l.encode()) {
		return label{}, nil, corrupt("header is not as it was written")
	}
	return l, raw, nil
}

func parseLabel(text []byte) (l label, err error) {
	var header struct {
		Meta map[string]string `json:"__metadata__"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return l, corrupt("header: %v", err)
	}
	if f := header.Meta["format"]; f != imageFormat {
		if strings.HasPrefix(f, imageFamily) {
			return l, fmt.Errorf("%w: the memory has format %q, this version has %q", ErrOtherModel, f, imageFormat)
		}
		return l, corrupt("format %q; this version reads %q", f, imageFormat)
	}
	number := func(key string) int {
		n, e := strconv.Atoi(header.Meta[key])
		err = errors.Join(err, e)
		return n
	}
	name := func(key string) string {
		s, e := url.PathUnescape(header.Meta[key])
		err = errors.Join(err, e)
		return s
	}
	when := func(key string) time.Time {
		t, e := time.Parse(time.RFC3339Nano, header.Meta[key])
		err = errors.Join(err, e)
		return t
	}
	l = label{
		agent: name("agent"), fingerprint: name("fingerprint"),
		tokens: number("tokens"), last: number("last"), behind: number("behind"),
		shape:   shape{blockTokens: number("block_tokens"), window: number("window"), tokenBytes: number("token_bytes"), localBytes: number("local_bytes")},
		created: when("created"), saved: when("saved"),
	}
	if err != nil {
		return l, corrupt("header: %v", err)
	}
	return l, nil
}

// write writes a complete image as a file, in parts no larger than a block.
func (img *image) write(w io.Writer) error {
	header := img.label.encode()
	tokens := encodeTokens(img.tokens)
	sums := make([]byte, 0, 4*(1+len(img.blocks)))
	sums = binary.LittleEndian.AppendUint32(sums, checksum(header, tokens))
	for _, b := range img.blocks {
		sums = binary.LittleEndian.AppendUint32(sums, checksum(b))
	}
	for part := range slices.Values(slices.Concat([][]byte{header, sums, tokens}, img.blocks)) {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func checksum(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

func encodeTokens(tokens []int32) []byte {
	raw := make([]byte, 0, 4*len(tokens))
	for _, t := range tokens {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(t))
	}
	return raw
}

// A preface is what comes before the blocks of a file, found sound.
type preface struct {
	label  label
	tokens []int32  // as in an image
	sums   []uint32 // of the blocks
	raw    []byte   // all of it
}

// readPreface reads and verifies what is between the header, which readLabel has read, and the blocks.
func readPreface(r io.Reader, l label, header []byte) (*preface, error) {
	raw := make([]byte, l.before())
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, corrupt("%v", err)
	}
	p := &preface{label: l, raw: slices.Concat(header, raw)}
	n := 4 * (1 + l.parts())
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

// readBlock reads and verifies block i, which comes next in r, into dst.
func (p *preface) readBlock(r io.Reader, i int, dst []byte) error {
	if _, err := io.ReadFull(r, dst); err != nil {
		return corrupt("block %d: %v", i, err)
	}
	if checksum(dst) != p.sums[i] {
		return corrupt("checksum of block %d", i)
	}
	return nil
}
