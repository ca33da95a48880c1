package objects

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"

	"loadstone/internal/seal"
)

// idBytes is the size of the id of a chunk.
const idBytes = sha256.Size

// maxChunk is the maximum size of a chunk's content; maxHead that of what is kept in the record.
const (
	maxChunk = 4 << 20
	maxHead  = 1 << 20
)

// ErrLost says that a chunk is missing, or is not what it was.
var ErrLost = errors.New("a chunk of the file is lost")

// A chunker names chunks by their content, and seals them if it has a key. Both depend on the
// group, so that chunks of two groups have nothing in common, whatever they contain.
//
// The id of a chunk is a MAC of its content, and its key a MAC of its id: the same content gives
// the same object, so it is stored once. A reader without the key learns only that two objects of a
// group differ. A key seals one content only, so the nonce may be constant.
type chunker struct{ key *seal.Key }

func newChunkers(keys []*seal.Key) (all []*chunker) {
	for _, k := range keys {
		all = append(all, &chunker{k})
	}
	if len(all) == 0 {
		all = append(all, &chunker{})
	}
	return all
}

// keyID says which key a chunker has, "" for none.
func (c *chunker) keyID() string {
	if c.key == nil {
		return ""
	}
	return c.key.ID()
}

// id returns the id of a chunk.
func (c *chunker) id(group string, content []byte) (id [idBytes]byte) {
	h := sha256.New()
	if c.key != nil {
		h = hmac.New(sha256.New, c.key.Derive("chunk id\x00"+group, nil))
	} else {
		fmt.Fprintf(h, "loadstone chunk of group %d %s\n", len(group), group)
	}
	h.Write(content)
	h.Sum(id[:0])
	return id
}

func (c *chunker) aead(group string, id [idBytes]byte) cipher.AEAD {
	mac := hmac.New(sha256.New, c.key.Derive("chunk key\x00"+group, nil))
	mac.Write(id[:])
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

var onlyNonce [12]byte

// seal returns the bytes of a chunk's object.
func (c *chunker) seal(group string, id [idBytes]byte, content []byte) []byte {
	if c.key == nil {
		return content
	}
	return c.aead(group, id).Seal(nil, onlyNonce[:], content, nil)
}

// open is the inverse of seal. It fails with ErrLost unless the content is the one that has the id.
func (c *chunker) open(group string, id [idBytes]byte, data []byte) (content []byte, err error) {
	if content = data; c.key != nil {
		content, err = c.aead(group, id).Open(nil, onlyNonce[:], data, nil)
	}
	if got := c.id(group, content); err != nil || subtle.ConstantTimeCompare(got[:], id[:]) == 0 {
		return nil, fmt.Errorf("%w: it is not what was written", ErrLost)
	}
	return content, nil
}

// chunkerOf returns the chunker of a file's chunks.
func (s *System) chunkerOf(e *entry) (*chunker, error) {
	for _, c := range s.chunkers {
		if c.keyID() == e.Sealed {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w, whose id is %q", seal.ErrOtherKey, e.Sealed)
}

// fetch returns the content of a chunk of a file.
func (s *System) fetch(e *entry, r ref) ([]byte, error) {
	object := r.object()
	if content := s.chunks.get(object); content != nil {
		return content, nil
	}
	c, err := s.chunkerOf(e)
	if err != nil {
		return nil, err
	}
	var data []byte
	var version string
	err = s.reach.do(func(ctx context.Context) (err error) {
		data, version, err = s.bucket.Get(ctx, object)
		return err
	})
	var content []byte
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: there is none", ErrLost) // without ErrNotExist: there is a file
	case err == nil:
		content, err = c.open(e.Group, r.id, data)
	}
	if errors.Is(err, ErrLost) {
		s.known.lose(r, version)
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", object, err)
	}
	s.chunks.put(object, content)
	return content, nil
}

// upload puts a chunk, unless it is there.
func (s *System) upload(c *chunker, group string, r ref, content []byte) error {
	object := r.object()
	data := c.seal(group, r.id, content)
	was := s.known.lostVersion(r)
	err := s.reach.do(func(ctx context.Context) error {
		_, err := s.bucket.Put(ctx, object, data, was)
		return err
	})
	if err != nil && !errors.Is(err, ErrChanged) { // then it is there
		return fmt.Errorf("object %s: %w", object, err)
	}
	s.known.add(r)
	s.chunks.put(object, content)
	return nil
}
