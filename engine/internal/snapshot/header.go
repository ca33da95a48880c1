package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/seal"
)

// A Header says what a snapshot holds: everything that is known of a file from its header alone.
type Header struct {
	Agent       kv.Agent
	Salt        string // what the memory may be restored with; see kv.Identity
	Fingerprint string // of everything that the KV depends on
	Tokens      int    // tokens whose KV the snapshot holds
	Uncomputed  int    // tokens that follow those without KV, at most MaxUncomputed
	Earlier     int    // blocks before the window that are stored a second time, with their slots
	kv.Shape
	Tagged  bool      // the file is an export and has a tag at its end
	Created time.Time // when the agent's first memory was made
	Saved   time.Time // when this snapshot was begun
}

// MaxUncomputed is the maximum number of tokens at the end of a conversation that have no KV yet:
// one that was drawn, and those that had to follow it.
const MaxUncomputed = 16

const (
	family    = "loadstone memory "
	format    = family + "4"
	owned     = family + "5" // the same, of a principal or with a salt
	maxHeader = 64 << 20     // bytes of JSON: those of a memory of a million tokens in blocks of one
	maxAgent  = 4096         // bytes of an agent's name that can be saved

	headerStart = `{"__metadata__":` // with which the JSON of a header begins
	tagStart    = `,"tag":{`         // which is nowhere else in it, as names are escaped
)

// Formats lists the formats of memory files that this version reads; it writes all of them.
func Formats() []string { return []string{format, owned} }

// corrupt makes an error that is ErrCorrupt.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("memory file is %w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// unread makes an error that says why a part of a file was not read: ErrCorrupt if the file ends
// before, or is not as it was sealed. Otherwise the disk has failed, or the key is not at hand, and
// the file may be sound.
func unread(part string, err error) error {
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return corrupt("it ends before or in its %s", part)
	case errors.Is(err, seal.ErrBroken):
		return corrupt("its %s: %v", part, err)
	}
	return fmt.Errorf("memory file cannot be read: its %s: %w", part, err)
}

// Blocks returns how many blocks the conversation takes.
func (h *Header) Blocks() int { return (h.Tokens + h.BlockTokens - 1) / h.BlockTokens }

// FirstSlot returns the first block that is stored with its window slot.
func (h *Header) FirstSlot() int { return h.WindowStart(h.Tokens) }

// Chunks returns how many chunks the file has. A chunk is one block as the file stores it: chunks
// 0..Blocks-1 are the conversation's blocks in order, and chunks from Blocks on are the Earlier
// ones.
func (h *Header) Chunks() int { return h.Blocks() + h.Earlier }

// BlockOf returns which block of the conversation chunk i holds.
func (h *Header) BlockOf(i int) int {
	if i < h.Blocks() {
		return i
	}
	return h.FirstSlot() - 1 - (i - h.Blocks())
}

// ChunkWithSlot returns the chunk that holds block b together with its window slot.
func (h *Header) ChunkWithSlot(b int) int {
	if b >= h.FirstSlot() {
		return b
	}
	return h.Blocks() + h.FirstSlot() - 1 - b
}

// HasSlot reports whether chunk i holds its block's window slot.
func (h *Header) HasSlot(i int) bool { return i >= h.FirstSlot() }

// ChunkTokens returns how many tokens chunk i has.
func (h *Header) ChunkTokens(i int) int {
	return min(h.BlockTokens, h.Tokens-h.BlockOf(i)*h.BlockTokens)
}

// ChunkBytes returns the size of chunk i. Only the conversation's last block may be partial.
func (h *Header) ChunkBytes(i int) int { return int(h.offset(i+1) - h.offset(i)) }

// KVBytes returns the size of all chunks.
func (h *Header) KVBytes() int64 { return h.offset(h.Chunks()) }

// offset returns how many bytes of chunks come before chunk i.
func (h *Header) offset(i int) int64 {
	earlier := int64(max(0, i-h.Blocks()))
	return h.Bytes(min(i*h.BlockTokens, h.Tokens), h.FirstSlot()) +
		earlier*int64(h.BlockTokens)*int64(h.GlobalBytes+h.SlidingBytes)
}

// preambleBytes returns the size of what lies between the header and the chunks.
func (h *Header) preambleBytes() int64 { return 4 * int64(1+h.Chunks()+h.Tokens+h.Uncomputed) }

// fileBytes returns the size of the file, whose encoded header takes n bytes.
func (h *Header) fileBytes(n int) int64 {
	size := int64(n) + h.preambleBytes() + h.KVBytes()
	if h.Tagged {
		size += tagBytes
	}
	return size
}

// owned reports whether the header says whose the memory is. Of a server with one principal it does
// not, as before there were principals.
func (h *Header) owned() bool { return h.Agent.Principal != "" || h.Salt != "" }

// encode returns the header as it is in the file, its length before it: JSON, with its keys in the
// order of their bytes. A memory of 32000 tokens has 1000 blocks, for which json.Marshal takes a
// millisecond, and json.Unmarshal another, while the disk has nothing to do: so what is said of the
// tensors is written here, and not parsed. The names of keys and tensors belong to the format and
// stay as they are, whatever the code calls them.
func (h *Header) encode() []byte {
	meta, err := json.Marshal(h.metadata())
	if err != nil {
		panic(err) // it is made of strings only
	}
	n, data := h.Chunks(), h.preambleBytes()
	text := make([]byte, 8, 8+len(meta)+80*(n+4))
	text = append(append(text, headerStart...), meta...)
	tensor := func(name, dtype string, elements, begin, end int64) {
		text = append(append(append(text, `,"`...), name...), `":{"dtype":"`...)
		text = append(append(text, dtype...), `","shape":[`...)
		text = append(strconv.AppendInt(text, elements, 10), `],"data_offsets":[`...)
		text = append(strconv.AppendInt(text, begin, 10), ',')
		text = append(strconv.AppendInt(text, end, 10), "]}"...)
	}
	chunk := func(name string, number, i int) {
		begin, end := h.offset(i), h.offset(i+1)
		tensor(name+strconv.Itoa(number), "U8", end-begin, data+begin, data+end)
	}
	inOrderOfDigits(h.Earlier, func(k int) { chunk("behind.", k, h.Blocks()+k) })
	inOrderOfDigits(h.Blocks(), func(i int) { chunk("block.", i, i) })
	sums := 4 * int64(1+n)
	tensor("checksums", "U32", int64(1+n), 0, sums)
	if h.Tagged {
		end := data + h.KVBytes()
		tensor("tag", "U8", tagBytes, end, end+tagBytes)
	}
	tensor("tokens", "I32", int64(h.Tokens+h.Uncomputed), sums, data)
	text = append(text, '}')
	for len(text)%8 != 0 { // so that the data are aligned
		text = append(text, ' ')
	}
	binary.LittleEndian.PutUint64(text, uint64(len(text)-8))
	return text
}

// metadata returns what is said of the snapshot as a whole.
func (h *Header) metadata() map[string]string {
	meta := map[string]string{
		"format":       format,
		"agent":        url.PathEscape(h.Agent.Name), // any bytes become ASCII
		"fingerprint":  url.PathEscape(h.Fingerprint),
		"tokens":       strconv.Itoa(h.Tokens),
		"last":         strconv.Itoa(h.Uncomputed),
		"behind":       strconv.Itoa(h.Earlier),
		"block_tokens": strconv.Itoa(h.BlockTokens),
		"window":       strconv.Itoa(h.Window),
		"token_bytes":  strconv.Itoa(h.GlobalBytes),
		"local_bytes":  strconv.Itoa(h.SlidingBytes),
		"created":      h.Created.UTC().Format(time.RFC3339Nano),
		"saved":        h.Saved.UTC().Format(time.RFC3339Nano),
	}
	if h.owned() {
		meta["format"] = owned
		meta["principal"] = url.PathEscape(h.Agent.Principal)
		meta["salt"] = url.PathEscape(h.Salt)
	}
	return meta
}

// inOrderOfDigits visits 0 to n-1 in the order of their names: 0, 1, 10, 100, 101, 11, 2.
func inOrderOfDigits(n int, visit func(int)) {
	var from func(int)
	from = func(i int) {
		if i >= n {
			return
		}
		visit(i)
		for digit := range 10 {
			if i > 0 {
				from(10*i + digit)
			}
		}
	}
	for digit := range 10 {
		from(digit)
	}
}

// readHeader reads the header of a file of at most maxBytes bytes. It returns the header, and its
// bytes as they are in the file.
func readHeader(r io.Reader, maxBytes int64) (Header, []byte, error) {
	raw := make([]byte, 8)
	if _, err := io.ReadFull(r, raw); err != nil {
		return Header{}, nil, unread("header", err)
	}
	n := binary.LittleEndian.Uint64(raw)
	if n > maxHeader || int64(n) > maxBytes-8 {
		return Header{}, nil, corrupt("a header of %d bytes in a file of %d", n, maxBytes)
	}
	raw = append(raw, make([]byte, n)...)
	if _, err := io.ReadFull(r, raw[8:]); err != nil {
		return Header{}, nil, unread("header", err)
	}
	h, err := parseHeader(raw[8:])
	if err != nil {
		return Header{}, nil, err
	}
	if err := h.bounded(len(raw), maxBytes); err != nil {
		return Header{}, nil, err
	}
	// Each chunk has more than 40 bytes of header, so encode makes no more than was read.
	if h.Chunks() > len(raw)/40 || !bytes.Equal(raw, h.encode()) {
		return Header{}, nil, corrupt("header is not as it was written")
	}
	return h, raw, nil
}

// bounded returns an error unless the header's numbers fit the size of the file, before anything is
// allocated by them. The encoded header takes n bytes.
func (h *Header) bounded(n int, maxBytes int64) error {
	for _, n := range []int{h.BlockTokens, h.Window, h.GlobalBytes, h.SlidingBytes} {
		if n < 0 || n > math.MaxInt32 {
			return corrupt("a number of %d in its header", n)
		}
	}
	all := int64(max(1, h.Tokens))
	switch {
	case h.Tokens < 0, h.Earlier < 0, h.Uncomputed < 0, h.Uncomputed > min(MaxUncomputed, h.Tokens),
		all > maxBytes/4, h.BlockTokens < 1,
		int64(max(h.GlobalBytes, h.SlidingBytes)) > math.MaxInt64/8/all,
		h.Earlier > min(h.Blocks(), h.FirstSlot()),
		h.fileBytes(n) > maxBytes:
		return corrupt("%d tokens of %d bytes in blocks of %d do not fit into %d bytes",
			h.Tokens, h.GlobalBytes, h.BlockTokens, maxBytes)
	}
	return nil
}

// parseHeader reads the metadata of a header's JSON, which come first. Whether the rest is as it
// should be, the caller sees by encoding what it has got.
func parseHeader(text []byte) (h Header, err error) {
	rest, ok := bytes.CutPrefix(text, []byte(headerStart))
	if !ok {
		return h, corrupt("its header does not begin with metadata")
	}
	var meta map[string]string
	if err := json.NewDecoder(bytes.NewReader(rest)).Decode(&meta); err != nil {
		return h, corrupt("header: %v", err)
	}
	if f := meta["format"]; !slices.Contains(Formats(), f) {
		if strings.HasPrefix(f, family) {
			return h, fmt.Errorf("%w: the memory has format %q, this version reads %q and %q; the "+
				"agent's next request, with its conversation, leaves a new one", ErrOtherModel, f,
				format, owned)
		}
		return h, corrupt("format %q; this version reads %q and %q", f, format, owned)
	}
	number := func(key string) int {
		n, e := strconv.Atoi(meta[key])
		err = errors.Join(err, e)
		return n
	}
	name := func(key string) string {
		s, e := url.PathUnescape(meta[key])
		err = errors.Join(err, e)
		return s
	}
	when := func(key string) time.Time {
		t, e := time.Parse(time.RFC3339Nano, meta[key])
		err = errors.Join(err, e)
		return t
	}
	h = Header{
		Agent:       kv.Agent{Principal: name("principal"), Name: name("agent")},
		Salt:        name("salt"),
		Tagged:      bytes.Contains(text, []byte(tagStart)),
		Fingerprint: name("fingerprint"),
		Tokens:      number("tokens"),
		Uncomputed:  number("last"),
		Earlier:     number("behind"),
		Shape: kv.Shape{
			BlockTokens:  number("block_tokens"),
			Window:       number("window"),
			GlobalBytes:  number("token_bytes"),
			SlidingBytes: number("local_bytes"),
		},
		Created: when("created"),
		Saved:   when("saved"),
	}
	if err != nil {
		return h, corrupt("header: %v", err)
	}
	return h, nil
}
