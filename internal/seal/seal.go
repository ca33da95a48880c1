// Package seal keeps files secret and whole that lie on a disk which others may read or change:
// with AES-256-GCM and a key that is not on that disk.
//
// # Format
//
// A sealed file has a head and then chunks, each of which is sealed by itself, so that a part of a
// file can be read and verified without the rest:
//
//	magic   16 bytes
//	key id  8 bytes    says which key it was sealed with, and nothing of the key
//	salt    32 bytes   random
//	chunks             ChunkBytes of the file and a tag of 16 bytes; the last one may be shorter
//
// The key of a file is derived from the master key, the salt and the file's name (HKDF-SHA256), so
// no two files have one, though a file of the same name is written again. A chunk's nonce is its
// number and whether it is the last one. So a nonce is used once with a key; a chunk that is
// changed, moved, left out or doubled, a file that is cut off or goes on, and a file under
// another's name all fail to open. An older file in place of a newer one of the same name does not:
// that takes a memory outside the disk. (The construction is STREAM: Hoang, Reyhanitabar, Rogaway,
// Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015.)
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// KeyBytes is the length of a master key.
	KeyBytes = 32
	// ChunkBytes is how much of a file a chunk has.
	ChunkBytes = 64 << 10

	// Format is how every sealed file begins.
	Format = "loadstone-seal-1"

	magic     = Format
	idBytes   = 8
	saltBytes = 32
	headBytes = len(magic) + idBytes + saltBytes
	tagBytes  = 16
)

var (
	// ErrBroken says that a sealed file is not as it was sealed, or has another file's name.
	ErrBroken = errors.New("the file is not as it was sealed")
	// ErrOtherKey says that a file was sealed with a key that is not at hand.
	ErrOtherKey = errors.New("the file is sealed with another key")
)

// A Key is a master key.
type Key struct {
	master [KeyBytes]byte
	id     [idBytes]byte
}

// NewKey returns the key that consists of these bytes.
func NewKey(master []byte) (*Key, error) {
	if len(master) != KeyBytes {
		return nil, fmt.Errorf("a key of %d bytes; want %d", len(master), KeyBytes)
	}
	k := &Key{master: [KeyBytes]byte(master)}
	k.id = [idBytes]byte(k.Derive("key id", nil))
	return k, nil
}

// ParseKeys reads keys as text, one on each line: 64 hexadecimal digits, or 32 bytes in base64.
// Lines that are empty or begin with # mean nothing. The errors do not contain what was read.
func ParseKeys(text string) (keys [][]byte, err error) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil || len(key) != KeyBytes {
			key, err = base64.StdEncoding.DecodeString(line)
		}
		if err != nil || len(key) != KeyBytes {
			return nil, fmt.Errorf("line %d: want 64 hexadecimal digits, or 32 bytes in base64, "+
				"as `openssl rand -hex 32` prints them", number)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key")
	}
	return keys, nil
}

// ID tells keys apart.
func (k *Key) ID() string { return hex.EncodeToString(k.id[:]) }

// Derive returns a key of 32 bytes for a purpose.
func (k *Key) Derive(purpose string, salt []byte) []byte {
	key, err := hkdf.Key(sha256.New, k.master[:], salt, "loadstone "+purpose, 32)
	if err != nil {
		panic(err) // only a longer key could fail
	}
	return key
}

// aead returns what seals the chunks of the file with this name and salt.
func (k *Key) aead(name string, salt []byte) cipher.AEAD {
	block, err := aes.NewCipher(k.Derive("file\x00"+name, salt))
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

func nonce(chunk uint64, last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:], chunk)
	if last {
		n[11] = 1
	}
	return n
}

// Size returns the size of a sealed file that holds so many bytes.
func Size(plain int64) int64 {
	chunks := max(1, (plain+ChunkBytes-1)/ChunkBytes)
	return int64(headBytes) + plain + chunks*tagBytes
}

// A Writer seals what is written to it.
type Writer struct {
	w     io.Writer
	aead  cipher.AEAD
	chunk []byte // not sealed yet; at most ChunkBytes
	n     uint64 // chunks sealed
	out   []byte
}

// NewWriter writes the head of a sealed file with a name to w. Close must be called at its end, and
// does not close w.
func (k *Key) NewWriter(w io.Writer, name string) (*Writer, error) {
	head := append([]byte(magic), k.id[:]...)
	head = append(head, make([]byte, saltBytes)...)
	salt := head[len(head)-saltBytes:]
	rand.Read(salt)
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	return &Writer{w: w, aead: k.aead(name, salt), chunk: make([]byte, 0, ChunkBytes)}, nil
}

func (w *Writer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if len(w.chunk) == ChunkBytes { // more comes, so it is not the last
			if err := w.seal(false); err != nil {
				return n, err
			}
		}
		took := min(len(b), ChunkBytes-len(w.chunk))
		w.chunk = append(w.chunk, b[:took]...)
		b, n = b[took:], n+took
	}
	return n, nil
}

// Close writes the last chunk.
func (w *Writer) Close() error { return w.seal(true) }

func (w *Writer) seal(last bool) error {
	w.out = w.aead.Seal(w.out[:0], nonce(w.n, last), w.chunk, nil)
	w.n++
	w.chunk = w.chunk[:0]
	_, err := w.w.Write(w.out)
	return err
}

// A Reader opens a sealed file, of which each part is verified before it is returned.
type Reader struct {
	r      io.ReaderAt
	aead   cipher.AEAD
	chunks int64 // in the file
	size   int64 // of what it holds
	at     int64 // the next byte to return

	sealed, plain []byte
	have          int64 // the chunk in plain; -1: none
}

// KeyOf returns which of the keys a file of so many bytes with a name was sealed with. sealed
// reports whether it is a sealed file at all. Where the head names none of the keys and the file
// opens with one of them all the same, the head is damaged: that key is returned with ErrBroken.
func KeyOf(file io.ReaderAt, size int64, name string,
	keys []*Key) (k *Key, sealed bool, err error) {
	head := make([]byte, headBytes)
	n, err := file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	if n < len(magic) || string(head[:len(magic)]) != magic {
		return nil, false, nil
	}
	if n < headBytes {
		return nil, true, ErrBroken
	}
	id := head[len(magic) : len(magic)+idBytes]
	for _, k := range keys {
		if bytes.Equal(k.id[:], id) {
			return k, true, nil
		}
	}
	for _, k := range keys {
		ok, err := k.opens(file, size, name)
		if err != nil {
			return nil, true, err
		}
		if ok {
			return k, true, fmt.Errorf("%w: it names a key with the id %x, and opens with that of "+
				"the id %s", ErrBroken, id, k.ID())
		}
	}
	return nil, true, fmt.Errorf("%w, whose id is %x", ErrOtherKey, id)
}

// opens reports whether the first chunk of a file opens with a key, whatever the head names.
func (k *Key) opens(file io.ReaderAt, size int64, name string) (bool, error) {
	r, err := k.NewReader(file, size, name)
	if err == nil {
		err = r.load(0)
	}
	if errors.Is(err, ErrBroken) {
		return false, nil
	}
	return err == nil, err
}

// Open opens a file of so many bytes with a name, with the one of the keys that sealed it. sealed
// reports whether it is a sealed file at all; there is no Reader of one that is not.
func Open(file io.ReaderAt, size int64, name string,
	keys []*Key) (r *Reader, sealed bool, err error) {
	key, sealed, err := KeyOf(file, size, name, keys)
	if err != nil || !sealed {
		return nil, sealed, err
	}
	r, err = key.NewReader(file, size, name)
	return r, true, err
}

// NewReader opens a sealed file of so many bytes with a name.
func (k *Key) NewReader(r io.ReaderAt, size int64, name string) (*Reader, error) {
	head := make([]byte, headBytes)
	if _, err := r.ReadAt(head, 0); err == io.EOF {
		return nil, ErrBroken
	} else if err != nil {
		return nil, err
	}
	body := size - int64(headBytes)
	chunks := (body + ChunkBytes + tagBytes - 1) / (ChunkBytes + tagBytes)
	if chunks < 1 || body < chunks*tagBytes {
		return nil, ErrBroken
	}
	return &Reader{
		r:      r,
		aead:   k.aead(name, head[headBytes-saltBytes:]),
		chunks: chunks,
		size:   body - chunks*tagBytes,
		have:   -1,
	}, nil
}

// Another returns a reader of the same file, for another goroutine, which begins at its first byte.
func (r *Reader) Another() *Reader {
	return &Reader{r: r.r, aead: r.aead, chunks: r.chunks, size: r.size, have: -1}
}

// Size returns how many bytes the file holds.
func (r *Reader) Size() int64 { return r.size }

func (r *Reader) Read(b []byte) (int, error) {
	if r.at >= r.size {
		// The last chunk says that it is the last: a file that holds nothing has one too.
		if err := r.load(r.chunks - 1); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	if err := r.load(r.at / ChunkBytes); err != nil {
		return 0, err
	}
	n := copy(b, r.plain[r.at%ChunkBytes:])
	r.at += int64(n)
	return n, nil
}

// Seek moves to a byte, counted from the start of what the file holds.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset < 0 {
		return 0, errors.New("seal: only from the start")
	}
	r.at = offset
	return offset, nil
}

// load opens a chunk.
func (r *Reader) load(chunk int64) error {
	if chunk == r.have {
		return nil
	}
	r.have = -1
	n := min(ChunkBytes, r.size-chunk*ChunkBytes) + tagBytes
	if r.sealed == nil {
		r.sealed = make([]byte, ChunkBytes+tagBytes)
	}
	at := int64(headBytes) + chunk*(ChunkBytes+tagBytes)
	if m, err := r.r.ReadAt(r.sealed[:n], at); int64(m) < n {
		if err == nil || err == io.EOF {
			err = ErrBroken
		}
		return err
	}
	plain, err := r.aead.Open(r.plain[:0], nonce(uint64(chunk), chunk == r.chunks-1),
		r.sealed[:n], nil)
	if err != nil {
		return ErrBroken
	}
	r.plain, r.have = plain, chunk
	return nil
}
