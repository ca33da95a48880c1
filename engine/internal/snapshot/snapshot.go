// Package snapshot keeps agents' memories on disk: the file format, the directory with its index,
// quota, expiry, quarantine and lock, and the goroutine that writes. It knows bytes and their
// shape; what they mean is the engine's business.
//
// # Format
//
// A file is a safetensors file (https://github.com/huggingface/safetensors#format): the length of
// the header as a little-endian uint64, the header as JSON, then the tensors' data in this order:
//
//	checksums  U32 [1+chunks]    CRC-32C of header, its length and tokens; then of each chunk
//	tokens     I32 [tokens+last] last of them, at the end, have no KV yet
//	block.N    U8 [bytes]        block N as Model.ReadKV gave it, with its window slot where that is
//	                             in the window at the conversation's end
//	behind.K   U8 [bytes]        the K-th block before that window once more, with its window slot
//	tag        U8 [32]           in exports of a principal; see Store.Export
//
// Header and preamble (checksums and tokens) come first, then the chunks. The behind chunks serve
// a request that returns to where the agent's last request began, or asks its question again, as
// far as their window slots still existed when the snapshot was made. Nothing else reads them.
//
// The header's __metadata__ says, in strings, what the snapshot holds (see Header). Each chunk
// has its own checksum so that a restore reads and verifies no more than the prompt begins with.
// CRC-32C finds every flipped bit and every burst of up to 32 at the speed of memory; against
// forgery no checksum without a key helps, and the files are private.
//
// There were other formats, each with one step more; testdata/formats has a file of each, and
// TestFormats says which of them this version reads:
//
//	1  all layers keep all tokens
//	2  sliding layers keep their window only
//	3  the answer's last token, which has no KV, is among the tokens
//	4  behind: the blocks before the window once more
//	5  the same, of a principal or with a salt
//
// A header is valid when it is, byte for byte, the one that this package would write for its
// metadata. So no offset or shape of a damaged or hostile file is ever trusted.
package snapshot

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	// ErrNoMemory says that an agent has no memory.
	ErrNoMemory = errors.New("no memory of this agent is kept")
	// ErrExists refuses to create an agent that has a memory.
	ErrExists = errors.New("the agent exists already")
	// ErrNoRoom refuses a memory that the quota has no room for.
	ErrNoRoom = errors.New("no room")
	// ErrDiskFull says that the disk has no room, although the files that might go are deleted.
	ErrDiskFull = errors.New("the disk is full")
	// ErrCorrupt says that a file is not, byte for byte, as it was written.
	ErrCorrupt = errors.New("corrupt")
	// ErrOtherModel says that a memory was made by another model, or with another layout of its KV.
	ErrOtherModel = errors.New("model mismatch")
	// ErrOtherPrincipal says that a file was exported for another principal than the one that
	// imports it.
	ErrOtherPrincipal = errors.New("the memory was not exported for this principal")
	// ErrForged says that an export for a principal was not made by this server, or was changed.
	ErrForged = errors.New("the memory was not exported by this server, or by one with its seal " +
		"key, or was changed since")
	// ErrNotCopied says that a block of a snapshot in RAM has not been copied out of the pool yet.
	ErrNotCopied = errors.New("the block is not copied yet")
	// ErrSuperseded says that a snapshot was not written because the agent's memory has changed.
	ErrSuperseded = errors.New("the agent's memory has changed before it was saved")
)

// ErrTaken says that another server has gone on with an agent, so that what this one has of it is
// not written, or is at work with the agent now.
var ErrTaken = errors.New("another server has the agent's memory")

// Reason returns the word for why a snapshot cannot be restored: "model_changed", "corrupt" or
// "unreadable", where the disk has failed. It is part of a quarantined file's name and of a
// request's result.
func Reason(err error) string {
	switch {
	case errors.Is(err, ErrOtherModel):
		return "model_changed"
	case errors.Is(err, ErrCorrupt):
		return "corrupt"
	}
	return "unreadable"
}

// useless reports whether a file can never be restored here. One that the disk failed to read may
// be sound, and stays.
func useless(err error) bool {
	return errors.Is(err, ErrOtherModel) || errors.Is(err, ErrCorrupt)
}

// A Failure says why a memory was not saved.
type Failure int

const (
	FailedDiskFull Failure = iota // the disk, or the user's share of it, is full
	FailedQuota                   // the memory does not fit into the quota beside the pinned ones
	FailedIO                      // the disk, or the file system, failed
	FailedSlow                    // it was evicted while the disk had more waiting than may wait
	FailedRead                    // the model could not read its KV
	FailedTaken                   // another server had gone on with the agent
	Failures                      // how many kinds there are
)

var failureNames = [Failures]string{"disk_full", "quota", "io", "disk_slow", "read", "superseded"}

func (f Failure) String() string { return failureNames[f] }

// FailureOf returns the kind of an error with which a save failed.
func FailureOf(err error) Failure {
	switch {
	case isFull(err):
		return FailedDiskFull
	case errors.Is(err, ErrNoRoom):
		return FailedQuota
	case errors.Is(err, ErrTaken):
		return FailedTaken
	}
	return FailedIO
}

// isFull reports whether an error says that the disk, or the user's share of it, is full.
func isFull(err error) bool {
	return errors.Is(err, ErrDiskFull) || errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.EDQUOT)
}

// A Snapshot is an agent's memory in RAM, on its way to the disk.
type Snapshot struct {
	header Header
	tokens []int32  // header.Tokens, and header.Uncomputed more
	chunks [][]byte // nil where not copied yet
	copied int      // how many of chunks are not nil

	Spare bool // no other may be deleted to make room for it; set before it is handed over

	grant lease       // with which it may be written; see share
	stale atomic.Bool // it must not be written any more

	// What follows is the Writer's, under its lock.
	tries   int       // attempts to write it that have failed
	next    time.Time // not before which the next one is made
	waiters []*Attempt
	over    bool  // it is on disk, or never will be
	err     error // why it is not; valid once over
}

// An Attempt tells of the next attempt to write a snapshot, or the one that took its place.
type Attempt struct {
	done chan struct{}
	err  error
}

// Done is closed when the attempt is over.
func (a *Attempt) Done() <-chan struct{} { return a.done }

// Err says why the attempt failed; nil when the snapshot is on disk, synced. It is valid once Done
// is closed.
func (a *Attempt) Err() error { return a.err }

// newSnapshot returns a snapshot without KV. tokens has the uncomputed one at its end.
func newSnapshot(h Header, tokens []int32) *Snapshot {
	return &Snapshot{
		header: h,
		tokens: tokens,
		chunks: make([][]byte, h.Chunks()),
	}
}

// Header says what the snapshot holds.
func (s *Snapshot) Header() *Header { return &s.header }

// Conversation returns all tokens, with KV or without.
func (s *Snapshot) Conversation() []int32 { return s.tokens }

// Tokens returns the tokens whose KV the snapshot holds.
func (s *Snapshot) Tokens() []int32 { return s.tokens[:s.header.Tokens] }

// Copied reports whether chunk i is there.
func (s *Snapshot) Copied(i int) bool { return s.chunks[i] != nil }

// Missing returns the first chunk from chunk i on that is not there, and false if all are.
func (s *Snapshot) Missing(i int) (int, bool) {
	for ; i < len(s.chunks); i++ {
		if s.chunks[i] == nil {
			return i, true
		}
	}
	return 0, false
}

// Complete reports whether all chunks are there.
func (s *Snapshot) Complete() bool { return s.copied == len(s.chunks) }

// Set puts chunk i in, which must be missing.
func (s *Snapshot) Set(i int, b []byte) {
	s.chunks[i] = b
	s.copied++
}

// Chunk returns chunk i, or ErrNotCopied. It does not need dst.
func (s *Snapshot) Chunk(i int, dst []byte) ([]byte, error) {
	if s.chunks[i] == nil {
		return nil, ErrNotCopied
	}
	return s.chunks[i], nil
}

// View returns a copy for a reader on another goroutine. It stays as it is when more chunks are put
// in, and is not written.
func (s *Snapshot) View() *Snapshot {
	return &Snapshot{header: s.header, tokens: s.tokens, chunks: slices.Clone(s.chunks)}
}

// tell ends the attempts that wait for the snapshot. The caller holds the writer's lock.
func (s *Snapshot) tell(err error) {
	for _, a := range s.waiters {
		a.err = err
		close(a.done)
	}
	s.waiters = nil
}

// end notes what became of the snapshot. The caller holds the writer's lock.
func (s *Snapshot) end(err error) {
	s.over, s.err = true, err
	s.tell(err)
}

// write writes a complete snapshot as a file, in pieces no larger than a chunk.
func (s *Snapshot) write(w io.Writer) error {
	header := s.header.encode()
	tokens := encodeTokens(s.tokens)
	sums := make([]byte, 0, 4*(1+len(s.chunks)))
	sums = binary.LittleEndian.AppendUint32(sums, checksum(header, tokens))
	for _, b := range s.chunks {
		sums = binary.LittleEndian.AppendUint32(sums, checksum(b))
	}
	if err := writeAll(w, header); err != nil {
		return err
	}
	s.header.cutBefore(w, -1)
	if err := writeAll(w, sums, tokens); err != nil {
		return err
	}
	for i, b := range s.chunks {
		s.header.cutBefore(w, i)
		if err := writeAll(w, b); err != nil {
			return err
		}
	}
	return nil
}

func writeAll(w io.Writer, pieces ...[]byte) error {
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// A cutter is a file that keeps once what it has in common with others, if it is told where that
// may begin.
type cutter interface{ Cut() }

// cutBytes is how large a part is at least, but for those in the window.
const cutBytes = 16 << 10

// cutBefore cuts a file before chunk i, where w wants that; -1 stands for what follows the header.
// Where it does depends on the conversation's beginning alone, as what is to be shared does: at
// every block from the window on, whose content will change when the window moves on, and at every
// so many blocks before.
func (h *Header) cutBefore(w io.Writer, i int) {
	c, ok := w.(cutter)
	if !ok {
		return
	}
	every := max(1, cutBytes/max(1, h.BlockTokens*h.GlobalBytes))
	if i < 0 || i >= h.FirstSlot() || i%every == 0 {
		c.Cut()
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(pieces ...[]byte) (sum uint32) {
	for _, p := range pieces {
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
