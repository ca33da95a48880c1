package objects

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"time"

	"loadstone/internal/seal"
)

// A record is an object with all files whose names begin alike, up to the first dot. So a change of
// one of them can be made on the condition that another one has not changed.
type record struct {
	Format string            `json:"format"`
	Epoch  int64             `json:"epoch,omitempty"` // of the last collection that has marked it
	Files  map[string]*entry `json:"files"`           // by what follows the first dot
}

// An entry is a file. It is never changed once it is in a record.
type entry struct {
	ID       string `json:"id"` // another one each time the file is written
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`         // nanoseconds since 1970
	Head     []byte `json:"head,omitempty"`   // how the file begins, compressed
	HeadSize int    `json:"head_size"`        // of the head as it is in the file
	Group    string `json:"group,omitempty"`  // with which chunks are shared
	Sealed   string `json:"sealed,omitempty"` // the id of the key of the chunks
	Refs     refs   `json:"chunks,omitempty"` // in order, after the head
}

func (e *entry) modified() time.Time { return time.Unix(0, e.Modified) }

// A ref names a chunk.
type ref struct {
	id    [idBytes]byte
	epoch int64 // when it was put; a part of its object's name
	size  int   // of its content
}

func (r ref) object() string {
	return chunksDir + hex.EncodeToString(r.id[:]) + "." + fmt.Sprint(r.epoch)
}

// refs are 44 bytes each in JSON's base64.
type refs []ref

func (rs refs) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, len(rs)*(idBytes+12))
	for _, r := range rs {
		raw = append(raw, r.id[:]...)
		raw = binary.LittleEndian.AppendUint64(raw, uint64(r.epoch))
		raw = binary.LittleEndian.AppendUint32(raw, uint32(r.size))
	}
	return json.Marshal(raw)
}

func (rs *refs) UnmarshalJSON(text []byte) error {
	var raw []byte
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	if len(raw)%(idBytes+12) != 0 {
		return errors.New("references of chunks end in their middle")
	}
	for ; len(raw) > 0; raw = raw[idBytes+12:] {
		r := ref{id: [idBytes]byte(raw), epoch: int64(binary.LittleEndian.Uint64(raw[idBytes:])),
			size: int(binary.LittleEndian.Uint32(raw[idBytes+8:]))}
		if r.size < 1 || r.size > maxChunk {
			return fmt.Errorf("a chunk of %d bytes", r.size)
		}
		*rs = append(*rs, r)
	}
	return nil
}

const recordFormat = "loadstone record 1"

// ErrUnsealed says that a record is not sealed, although there are keys.
var ErrUnsealed = errors.New("the object is not sealed, and this server has a key")

// ErrOtherFormat says that another version of this program has written a record.
var ErrOtherFormat = errors.New("the object is of another version")

// A read is a record as it was at one moment.
type read struct {
	record  *record
	version string // None: there is no object
	broken  error  // why nothing of the object can be used; nil: it can
}

func empty() *read { return &read{record: &record{Format: recordFormat}} }

// load reads a record. One that is not there has no files, nor has one that makes no sense
// (broken), which the next change replaces.
func (s *System) load(name string) (*read, error) {
	epoch := s.known.now()
	var data []byte
	var version string
	err := s.reach.do(func(ctx context.Context) (err error) {
		data, version, err = s.bucket.Get(ctx, name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return empty(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", name, err)
	}
	r, err := s.decode(name, data)
	if errors.Is(err, seal.ErrBroken) || errors.Is(err, ErrUnsealed) {
		return &read{empty().record, version, fmt.Errorf("object %s: %w", name, err)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", name, err)
	}
	for _, e := range r.Files {
		s.known.learn(e.Refs, epoch)
	}
	return &read{record: r, version: version}, nil
}

func (s *System) encode(name string, r *record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil || len(s.keys) == 0 {
		return text, err
	}
	var sealed bytes.Buffer
	w, err := s.keys[0].NewWriter(&sealed, name)
	if err != nil {
		return nil, err
	}
	w.Write(text) // a buffer takes all
	err = w.Close()
	return sealed.Bytes(), err
}

func (s *System) decode(name string, data []byte) (*record, error) {
	r, sealed, err := seal.Open(bytes.NewReader(data), int64(len(data)), name, s.keys)
	if err != nil {
		return nil, err
	}
	if sealed {
		if data, err = io.ReadAll(r); err != nil {
			return nil, err
		}
	} else if len(s.keys) > 0 {
		return nil, ErrUnsealed
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return nil, fmt.Errorf("%w: %w", seal.ErrBroken, err)
	}
	if rec.Format != recordFormat {
		return nil, fmt.Errorf("%w: it has format %q, this version reads %q", ErrOtherFormat, rec.Format,
			recordFormat)
	}
	for _, e := range rec.Files {
		if e == nil {
			return nil, seal.ErrBroken
		}
	}
	return &rec, nil
}

// A summary is what is kept of a record to list its files, and to know what it names.
type summary struct {
	name    string // of the record's object
	version string
	files   []info
	fence   []byte   // the content of the fence, nil if there is none
	refs    []uint64 // hashes of the names of its chunks
	err     error    // why it could not be read; then files has a memory of unknown size
}

// nameHash returns a hash of the name of a chunk's object. That two are equal costs no more than a
// chunk that is kept for longer.
func nameHash(object string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(object))
	return h.Sum64()
}

func (s *System) summarize(name string, r *read) *summary {
	sum := &summary{name: name, version: r.version}
	for end, e := range r.record.Files {
		file := strings.TrimPrefix(name, recordsDir) + "." + end
		sum.files = append(sum.files, info{file, e.Size, e.modified()})
		if end == s.fence {
			sum.fence, _ = expand(e) // what makes no sense nobody holds
		}
		for _, ref := range e.Refs {
			sum.refs = append(sum.refs, nameHash(ref.object()))
		}
	}
	return sum
}

// atOnce is how many objects are read or written at the same time.
const atOnce = 8

// list returns the objects whose names begin with a prefix.
func (s *System) list(prefix string) (all []Object, err error) {
	err = s.reach.do(func(ctx context.Context) error {
		all = nil
		return s.bucket.List(ctx, prefix, func(o Object) error {
			all = append(all, o)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list of objects %s: %w", prefix, err)
	}
	return all, nil
}

// summaries returns what all records hold. It reads those that have changed since the last time.
func (s *System) summaries() ([]*summary, error) {
	objects, err := s.list(recordsDir)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	before := s.listed
	s.mu.Unlock()
	all := make([]*summary, len(objects))
	err = each(len(objects), func(i int) error {
		o := objects[i]
		if old := before[o.Name]; old != nil && old.version == o.Version && old.err == nil {
			all[i] = old
			return nil
		}
		r, err := s.load(o.Name)
		if errors.Is(err, ErrAway) {
			return err
		}
		if err == nil {
			err = r.broken
		}
		if err != nil {
			name := strings.TrimPrefix(o.Name, recordsDir)
			all[i] = &summary{name: o.Name, err: err, files: []info{{name + ".memory", o.Size, o.Modified}}}
			return nil
		}
		all[i] = s.summarize(o.Name, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	now := make(map[string]*summary, len(all))
	for _, sum := range all {
		now[sum.name] = sum
	}
	s.mu.Lock()
	s.listed = now
	s.mu.Unlock()
	return all, nil
}

// each calls f for the numbers below n, several at the same time, and returns an error of one.
func each(n int, f func(i int) error) error {
	var work sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := 0
	for range min(n, atOnce) {
		work.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := first != nil || i >= n
				mu.Unlock()
				if stop {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	return first
}

// with returns a copy of a record with other entries; nil stands for none.
func (r *record) with(sets map[string]*entry) *record {
	files := maps.Clone(r.Files)
	if files == nil {
		files = make(map[string]*entry)
	}
	for end, e := range sets {
		if e == nil {
			delete(files, end)
		} else {
			files[end] = e
		}
	}
	return &record{Format: recordFormat, Epoch: r.Epoch, Files: files}
}
