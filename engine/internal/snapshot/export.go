package snapshot

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
)

// An export of a principal says for whom it was made, and has a tag at its end: an HMAC-SHA256 of
// all that comes before it, with a key that is derived from the store's first key, or else is kept
// beside the files. So nobody but the operator of the servers that have the key can make one or
// change one. Where there is only one principal, an export is the file as it is, without a tag.

// tagBytes is the size of the tag.
const tagBytes = sha256.Size

// exportKeyFile has the key of tags in a store that has no other. Stores that share the directory
// agree on it as they do on the files of an agent whose memory were exportName.
const (
	exportName    = "export"
	exportKeyFile = exportName + ".key"
)

// tagKeys returns the keys of tags. An export is tagged with the first; an import may be tagged
// with any of them.
func (s *Store) tagKeys() (keys [][]byte, err error) {
	for _, k := range s.keys {
		keys = append(keys, k.Derive("export tag", nil))
	}
	if len(keys) > 0 {
		return keys, nil
	}
	s.change.Lock()
	defer s.change.Unlock()
	for {
		key, err := s.exportKey()
		if !errors.Is(err, files.ErrFenced) { // else another store has just made one
			return [][]byte{key}, err
		}
	}
}

// exportKey returns the key of tags that is kept beside the files, and makes it if there is none.
func (s *Store) exportKey() (key []byte, err error) {
	sys, release, err := s.guard(exportName, true)
	if err != nil {
		return nil, err
	}
	defer release()
	path := filepath.Join(s.dir, exportKeyFile)
	key, err = files.ReadFile(sys, path)
	if err == nil && len(key) == tagBytes || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if s.fenced != nil { // where guard keeps nobody away, only one of two stores can take the lease
		if err := s.writeLease(sys, exportName, lease{Owner: s.share.id}); err != nil {
			return nil, err
		}
	}
	key = make([]byte, tagBytes)
	rand.Read(key)
	err = files.Replace(sys, path, exportKeyFile+".*.tmp", func(f files.File) error {
		_, err := f.Write(key)
		return err
	})
	if err == nil {
		err = sys.SyncDir(s.dir) // an export without its key could never be imported
	}
	return key, err
}

// Export writes an agent's memory to w, as Import takes it, for a principal. It sets the file aside
// if that is of no use, which may be found out when a part of it is written.
func (s *Store) Export(agent kv.Agent, to string, w io.Writer) error {
	if _, ok := s.Find(agent); !ok {
		return fmt.Errorf("agent %q: %w", agent.Name, ErrNoMemory)
	}
	// A memory of another model can be exported, though not restored.
	m, err := s.open(agent, func(*Header) error { return nil })
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("agent %q: %w", agent.Name, ErrNoMemory)
	}
	if m == nil {
		return err
	}
	defer m.Close()
	if err == nil {
		err = s.export(m, to, w)
	}
	s.Quarantine(m, agent, err)
	return err
}

// export writes an open file to w for a principal.
func (s *Store) export(m *File, to string, w io.Writer) error {
	h := m.header
	from := h.Agent.Principal
	h.Agent.Principal = to
	if to != from {
		h.Salt = "" // which the other principal cannot have
	}
	h.Tagged = from != "" || to != ""
	if !h.Tagged {
		return m.copyAs(h, w)
	}
	keys, err := s.tagKeys()
	if err != nil {
		return err
	}
	tag := hmac.New(sha256.New, keys[0])
	if err := m.copyAs(h, io.MultiWriter(w, tag)); err != nil {
		return err
	}
	_, err = w.Write(tag.Sum(nil))
	return err
}

// copyAs writes the file with another header, up to the tag. Its chunks are verified.
func (m *File) copyAs(h Header, w io.Writer) error {
	if _, err := w.Write(m.preamble.with(h)); err != nil {
		return err
	}
	buf := make([]byte, h.maxChunk())
	for i := range m.sums {
		b, err := m.Chunk(i, buf)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// with returns the bytes that come before the chunks in a file that has p's tokens and chunks and
// the header h.
func (p *preamble) with(h Header) []byte {
	header, tokens := h.encode(), encodeTokens(p.tokens)
	raw := binary.LittleEndian.AppendUint32(slices.Clone(header), checksum(header, tokens))
	for _, sum := range p.sums {
		raw = binary.LittleEndian.AppendUint32(raw, sum)
	}
	return append(raw, tokens...)
}

// maxChunk returns the size of a buffer that any chunk fits into.
func (h *Header) maxChunk() int {
	return max(1, h.ChunkBytes(0), h.ChunkBytes(h.FirstSlot()), h.ChunkBytes(h.Blocks()))
}

// Import takes in a snapshot file from elsewhere, for a principal. It trusts nothing: the file is
// written chunk by chunk as it is verified, and appears only when all of it is sound: then it
// has at call take, which puts it in place, so that the caller can have that happen at one moment
// with what it changes itself. It must have been exported for the principal that imports it.
//
// hold is called before, with the agent that the file is of, and must have the store hold it.
func (s *Store) Import(principal string, r io.Reader, hold func(agent kv.Agent) error,
	at func(agent kv.Agent, take func() error) error) (Header, error) {
	h, header, err := readHeader(r, s.quota)
	if err != nil {
		return h, err
	}
	if h.Agent.Principal != principal || principal != "" && !h.Tagged {
		return h, ErrOtherPrincipal
	}
	if err := s.fits(&h); err != nil {
		return h, err
	}
	var tags tags
	if h.Tagged {
		if tags, r, err = s.tagging(header, r); err != nil {
			return h, err
		}
	}
	p, err := readPreamble(r, h, header)
	if err != nil {
		return h, err
	}
	kept := h
	kept.Tagged = false
	place := func(take func() error) error { return at(h.Agent, take) }
	if err := hold(h.Agent); err != nil {
		return h, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	return kept, s.install(kept, s.grant(h.Agent), makesRoomOnce, place, func(w io.Writer) error {
		n := len(kept.encode())
		before := p.with(kept)
		if err := writeAll(w, before[:n]); err != nil {
			return err
		}
		kept.cutBefore(w, -1)
		if err := writeAll(w, before[n:]); err != nil {
			return err
		}
		buf := make([]byte, max(tagBytes, h.maxChunk()))
		for i := range p.sums {
			b := buf[:h.ChunkBytes(i)]
			if err := p.readChunk(r, i, b); err != nil {
				return err
			}
			kept.cutBefore(w, i)
			if err := writeAll(w, b); err != nil {
				return err
			}
		}
		if h.Tagged && !tags.match(r) {
			return ErrForged
		}
		if n, _ := r.Read(buf[:1]); n > 0 {
			return corrupt("it goes on after its end")
		}
		return nil
	})
}

// tags computes the tags that a file may end with, one for each key, while the file is read.
type tags []hash.Hash

// tagging returns a reader of r that adds what it reads to tags. read is what was read of the file
// before.
func (s *Store) tagging(read []byte, r io.Reader) (tags, io.Reader, error) {
	keys, err := s.tagKeys()
	if err != nil {
		return nil, nil, err
	}
	var all tags
	for _, key := range keys {
		tag := hmac.New(sha256.New, key)
		tag.Write(read)
		all = append(all, tag)
	}
	return all, &tagReader{r, all}, nil
}

type tagReader struct {
	r    io.Reader
	tags tags
}

func (t *tagReader) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	for _, tag := range t.tags {
		tag.Write(b[:n])
	}
	return n, err
}

// match reads the tag at a file's end and reports whether it is that of one of the keys.
func (t tags) match(r io.Reader) bool {
	var want [][]byte
	for _, tag := range t {
		want = append(want, tag.Sum(nil))
	}
	got := make([]byte, tagBytes)
	if _, err := io.ReadFull(r, got); err != nil {
		return false
	}
	return slices.ContainsFunc(want, func(w []byte) bool { return hmac.Equal(w, got) })
}
