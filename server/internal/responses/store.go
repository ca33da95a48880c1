package responses

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"loadstone/internal/files"
	"loadstone/internal/seal"
	"loadstone/server/internal/generate"
	"loadstone/server/internal/wire"
)

// responsePrefix begins the id of a response. The 26 characters that follow are in the ids of its
// items too, so that an item leads to its response.
const responsePrefix = "resp_"

// A Stored is a response and its input, in the form in which the store keeps them.
type Stored struct {
	ID       string            `json:"id"`
	Owner    string            `json:"owner,omitempty"` // who may name it
	Agent    string            `json:"agent,omitempty"` // whose memory it continues; "": none
	Previous string            `json:"previous,omitempty"`
	Input    []json.RawMessage `json:"input"` // the request's own items, each with an id
	Response json.RawMessage   `json:"response"`
}

// output returns the items of the response.
func (s *Stored) output() []json.RawMessage {
	var body struct {
		Output []json.RawMessage `json:"output"`
	}
	wire.Unmarshal(s.Response, &body) // it was written here
	return body.Output
}

// A Store keeps responses for requests that name them: in a directory, a folder for each agent with
// a file for each response, or, where it has no directory, in RAM. It is bounded: beyond the limits
// of an owner the oldest of the owner's responses are forgotten, beyond maxBytes the oldest of the
// owner who has most, and after maxAge all. Its methods, and those of an Owned, may be called from
// many goroutines at once.
type Store struct {
	sys      files.System
	dir      string
	limits   Limits
	maxBytes int64 // of all responses
	maxAge   time.Duration
	keys     []*seal.Key // files are sealed with the first; none: they are not sealed

	reasoning []*seal.Key // encrypted_content is sealed with the first

	mu      sync.Mutex
	held    map[string]*holding // by owner, see ownerOf
	bytes   int64
	trimmed time.Time // when entries were last looked at for their age
}

// Limits bound what a Store keeps of one owner.
type Limits struct {
	Responses int   // 0: no limit
	Bytes     int64 // 0: what all owners together may have, 1 GiB in a directory or 64 MiB in RAM
}

// A holding is the responses of an owner.
type holding struct {
	entries map[string]*entry // by id
	bytes   int64
}

// An Owned holds the responses of one owner in a store. It does not find the responses of others.
type Owned struct {
	store *Store
	owner string
}

// Of returns the responses of an owner. A store with only one has the owner "".
func (s *Store) Of(owner string) Owned { return Owned{s, owner} }

// find returns the entry of a response, nil if there is none. The caller holds s.mu.
func (o Owned) find(id string) *entry {
	h := o.store.held[ownerOf(folderOf(o.owner, ""))]
	if h == nil {
		return nil
	}
	return h.entries[id]
}

// An entry is what the store knows of a response without reading its file.
type entry struct {
	id     string
	folder string // its owner's and agent's
	bytes  int64
	at     time.Time
	body   []byte // where there is no directory
}

// folderOf returns the name of an agent's folder, which begins with a hash of the owner if there is
// one.
func folderOf(owner, agent string) string {
	sum := sha256.Sum256([]byte(agent))
	folder := hex.EncodeToString(sum[:16])
	if owner != "" {
		sum = sha256.Sum256([]byte(owner))
		folder = hex.EncodeToString(sum[:16]) + "-" + folder
	}
	return folder
}

// ownerOf returns the part of a folder's name that stands for the owner, "" for none.
func ownerOf(folder string) string {
	owner, _, ok := strings.Cut(folder, "-")
	if !ok {
		return ""
	}
	return owner
}

// Bounds of a Store. OpenAI keeps responses for 30 days.
const (
	maxAge      = 30 * 24 * time.Hour
	maxDirBytes = 1 << 30
	maxRAMBytes = 64 << 20
	maxChain    = 10000 // responses of a conversation
)

// ErrNotFound says that a response is not in the store.
var ErrNotFound = errors.New("no such response: it was not stored, was deleted, or is older than " +
	"what this server keeps")

// OpenStore opens a directory of responses and makes it if need be. With "" the store is in RAM.
// With keys, of seal.KeyBytes each, files are sealed with the first of them, and opened with any.
func OpenStore(
	sys files.System, dir string, limits Limits, sealKeys ...[]byte,
) (*Store, error) {
	s := &Store{sys: sys, dir: dir, limits: limits, maxAge: maxAge, held: make(map[string]*holding)}
	if s.maxBytes = maxRAMBytes; dir != "" {
		s.maxBytes = maxDirBytes
	}
	s.maxBytes = max(s.maxBytes, limits.Bytes)
	for _, b := range sealKeys {
		k, err := seal.NewKey(b)
		if err != nil {
			return nil, fmt.Errorf("directory of responses: %w", err)
		}
		s.keys = append(s.keys, k)
	}
	var err error
	if dir == "" {
		s.reasoning, err = s.reasoningKeys()
		return s, err
	}
	if err := s.openDir(); err != nil {
		return nil, fmt.Errorf("directory of responses: %w", err)
	}
	return s, nil
}

// openDir makes the directory, or fills the index from it.
func (s *Store) openDir() (err error) {
	if err = files.MakeDir(s.sys, s.dir); err != nil {
		return err
	}
	if s.reasoning, err = s.reasoningKeys(); err != nil {
		return err
	}
	all, err := s.sys.Infos(s.dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range all {
		if f.IsDir() {
			if err := s.scan(f.Name()); err != nil {
				return err
			}
		} else if isTemporary(f) {
			s.sys.Remove(filepath.Join(s.dir, f.Name())) // the next start tries again
		}
	}
	s.trim(time.Now())
	return nil
}

// isTemporary reports whether a file was being written when a crash came.
func isTemporary(f fs.FileInfo) bool { return strings.HasSuffix(f.Name(), ".tmp") }

// scan adds the files of a folder to the index. A folder that cannot be read is an error: its
// responses would seem to be gone.
func (s *Store) scan(folder string) error {
	all, err := s.sys.Infos(filepath.Join(s.dir, folder))
	if err != nil {
		return err
	}
	for _, f := range all {
		path := filepath.Join(s.dir, folder, f.Name())
		id, ok := strings.CutSuffix(f.Name(), ".json")
		switch {
		case isTemporary(f):
			s.sys.Remove(path)
		case ok && isID(id):
			e := &entry{id: id, folder: folder, bytes: f.Size(), at: f.ModTime()}
			if len(s.keys) > 0 && s.sealPlain(e) {
				e.bytes = seal.Size(e.bytes)
				s.sys.Touch(path, e.at) // it is as old as it was
			}
			s.put(e)
		}
	}
	return nil
}

// isID reports whether s is the id of a response of this server, which is safe in a file's name.
func isID(s string) bool {
	code, ok := strings.CutPrefix(s, responsePrefix)
	return ok && isCode(code)
}

func isCode(s string) bool {
	if len(s) != 26 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// Put stores a response. With sync it is on disk, synced, when Put returns; without, a loss of
// power may take it. An error leaves nothing of it.
func (o Owned) Put(r *Stored, sync bool) error {
	s := o.store
	r.Owner = o.owner
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	e := &entry{
		id: r.ID, folder: folderOf(r.Owner, r.Agent), bytes: int64(len(body)), at: time.Now(),
	}
	if len(s.keys) > 0 && s.dir != "" {
		e.bytes = seal.Size(e.bytes)
	}
	if s.dir == "" {
		e.body = body
	} else if err := s.write(e, body, sync); err != nil {
		s.sys.Remove(s.path(e)) // it may have got its name before it failed
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(e)
	s.trim(e.at)
	return nil
}

func (s *Store) write(e *entry, body []byte, sync bool) error {
	folder := filepath.Join(s.dir, e.folder)
	if err := s.sys.MkdirAll(folder); err != nil {
		return err
	}
	replace := files.ReplaceUnsynced
	if sync {
		replace = files.Replace
	}
	fill := func(f files.File) error {
		if len(s.keys) == 0 {
			_, err := f.Write(body)
			return err
		}
		w, err := s.keys[0].NewWriter(f, s.sealName(e))
		if err != nil {
			return err
		}
		w.Write(body) // Close returns what went wrong
		return w.Close()
	}
	err := replace(s.sys, s.path(e), e.id+".*.tmp", fill)
	if errors.Is(err, fs.ErrNotExist) { // another server, which shares the directory, has just started
		err = replace(s.sys, s.path(e), e.id+".*.tmp", fill)
	}
	if err != nil || !sync {
		return err
	}
	return cmp.Or(files.SyncDir(s.sys, folder), files.SyncDir(s.sys, s.dir))
}

// sealName returns the name under which a response is sealed.
func (s *Store) sealName(e *entry) string { return "response " + e.folder + "/" + e.id }

// read returns the body of a response's file. sealed says whether it was sealed.
func (s *Store) read(e *entry) (body []byte, sealed bool, err error) {
	f, err := s.sys.Open(s.path(e))
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	r, sealed, err := seal.Open(f, info.Size(), s.sealName(e), s.keys)
	switch {
	case err != nil:
	case sealed:
		body, err = io.ReadAll(r)
	default:
		body, err = io.ReadAll(f)
	}
	return body, sealed, err
}

// sealPlain seals a file that is older than the store's key, and reports whether it did.
func (s *Store) sealPlain(e *entry) bool {
	body, sealed, err := s.read(e)
	if sealed {
		return false
	}
	if err == nil {
		err = s.write(e, body, true)
	}
	if err != nil {
		slog.Warn("a stored response cannot be sealed", "error", err)
		return false
	}
	return true
}

func (s *Store) path(e *entry) string { return filepath.Join(s.dir, e.folder, e.id+".json") }

func (s *Store) put(e *entry) {
	owner := ownerOf(e.folder)
	h := s.held[owner]
	if h == nil {
		h = &holding{entries: make(map[string]*entry)}
		s.held[owner] = h
	}
	change := e.bytes
	if old := h.entries[e.id]; old != nil {
		change -= old.bytes
	}
	h.entries[e.id] = e
	h.bytes += change
	s.bytes += change
}

// trim drops the oldest responses until the rest is within all limits. The caller holds s.mu.
func (s *Store) trim(now time.Time) {
	for h := s.beyond(); h != nil; h = s.beyond() {
		s.drop(h.oldest())
	}
	if now.Sub(s.trimmed) < time.Hour {
		return
	}
	s.trimmed = now
	for _, h := range s.held {
		for _, e := range h.entries {
			if now.Sub(e.at) >= s.maxAge {
				s.drop(e)
			}
		}
	}
}

// beyond returns the holding that must become smaller, nil if none must.
func (s *Store) beyond() (largest *holding) {
	for _, h := range s.held {
		if l := s.limits; l.Responses > 0 && len(h.entries) > l.Responses ||
			l.Bytes > 0 && h.bytes > l.Bytes {
			return h
		}
		if largest == nil || h.bytes > largest.bytes {
			largest = h
		}
	}
	if s.bytes <= s.maxBytes {
		return nil
	}
	return largest
}

func (h *holding) oldest() (oldest *entry) {
	for _, e := range h.entries {
		if oldest == nil || e.at.Before(oldest.at) {
			oldest = e
		}
	}
	return oldest
}

// drop deletes a response for the sake of a limit, or because it is of no use. The caller holds
// s.mu.
func (s *Store) drop(e *entry) {
	s.forget(e)
	if err := s.unlink(e); err != nil {
		slog.Warn("a stored response cannot be deleted", "error", err)
	}
}

// unlink deletes the file of a response, if there is one.
func (s *Store) unlink(e *entry) error {
	if s.dir == "" {
		return nil
	}
	if err := s.sys.Remove(s.path(e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// forget takes a response out of the index, if it is there. The caller holds s.mu.
func (s *Store) forget(e *entry) {
	owner := ownerOf(e.folder)
	h := s.held[owner]
	if h == nil || h.entries[e.id] != e {
		return
	}
	delete(h.entries, e.id)
	h.bytes -= e.bytes
	s.bytes -= e.bytes
	if len(h.entries) == 0 {
		delete(s.held, owner)
	}
}

// Get returns a stored response, or ErrNotFound. A file that is not as it was written, as one whose
// data a loss of power took, is no response: it is deleted. Another error may pass.
func (o Owned) Get(id string) (*Stored, error) {
	s := o.store
	s.mu.Lock()
	e := o.find(id)
	s.mu.Unlock()
	if e == nil {
		return nil, ErrNotFound
	}
	body := e.body
	if s.dir != "" {
		var err error
		var sealed bool
		if body, sealed, err = s.read(e); errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotFound
		}
		if errors.Is(err, seal.ErrBroken) {
			return nil, s.torn(e, err)
		}
		if err == nil && !sealed && len(s.keys) > 0 { // it could not be sealed at the start
			err = seal.ErrBroken
		}
		if err != nil {
			return nil, fmt.Errorf("the file of response %s: %w", id, err)
		}
	}
	r := new(Stored)
	if err := wire.Unmarshal(body, r); err != nil || r.ID != id || r.Owner != o.owner {
		return nil, s.torn(e, cmp.Or(err, errors.New("it is another response's")))
	}
	return r, nil
}

// torn drops a response whose file is not as it was written, and returns ErrNotFound.
func (s *Store) torn(e *entry, why error) error {
	slog.Warn("a stored response is not as it was written, and is deleted", "id", e.id, "reason", why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(e)
	return ErrNotFound
}

// Delete deletes a response, or fails with ErrNotFound. Responses that continue it can then no
// longer be continued. Once it returns without an error, a loss of power does not bring it back;
// with another error it is there, or may be.
func (o Owned) Delete(id string) error {
	s := o.store
	s.mu.Lock()
	e := o.find(id)
	if e != nil {
		s.forget(e)
	}
	s.mu.Unlock()
	if e == nil {
		return ErrNotFound
	}
	return s.remove(e)
}

// Forget deletes the responses of an agent, as Delete does.
func (o Owned) Forget(agent string) error {
	s := o.store
	s.mu.Lock()
	folder := folderOf(o.owner, agent)
	var all []*entry
	if h := s.held[ownerOf(folder)]; h != nil {
		for _, e := range h.entries {
			if e.folder == folder {
				all = append(all, e)
			}
		}
	}
	for _, e := range all {
		s.forget(e)
	}
	s.mu.Unlock()
	return s.remove(all...)
}

// remove deletes the files of responses of one folder, which are out of the index. It puts back
// those that it cannot delete. The caller does not hold s.mu: this takes as long as the disk.
func (s *Store) remove(all ...*entry) (err error) {
	if s.dir == "" || len(all) == 0 {
		return nil
	}
	for _, e := range all {
		if failed := s.unlink(e); failed != nil {
			s.mu.Lock()
			s.put(e)
			s.mu.Unlock()
			err = failed
		}
	}
	if err != nil {
		return fmt.Errorf("stored responses were not deleted: %w", err)
	}
	if err := files.SyncDir(s.sys, filepath.Join(s.dir, all[0].folder)); err != nil {
		return fmt.Errorf("stored responses may be back after a loss of power: %w", err)
	}
	return nil
}

// An Earlier is what a conversation has of a response that precedes another.
type Earlier struct {
	ID, Agent string
	items     []json.RawMessage // its input and its output
}

// Conversation returns a response and all before it, the first of them first. It fails with an
// error for the client where one of them is not there, or where they have more than one request may
// refer to.
func (o Owned) Conversation(id string) ([]Earlier, error) {
	var chain []Earlier
	var kept, read int
	for next := id; next != ""; {
		r, err := o.Get(next)
		switch {
		case errors.Is(err, ErrNotFound) && next == id:
			return nil, previousNotFound("Previous response with id '%s' not found."+elsewhere, id)
		case errors.Is(err, ErrNotFound):
			return nil, previousNotFound("Previous response with id '%s' continues '%s', which "+
				"was not found."+elsewhere, id, next)
		case err != nil:
			return nil, err
		case len(chain) == maxChain:
			return nil, previousNotFound("Previous response with id '%s' has more than %d before "+
				"it.", id, maxChain)
		}
		e := Earlier{ID: r.ID, Agent: r.Agent}
		for _, raw := range slices.Concat(r.Input, r.output()) {
			e.items = append(e.items, bytes.Clone(raw)) // without the rest of the response
			kept += len(raw)
			read += len(raw)
		}
		if read += len(r.Response); kept > maxReferred || read > maxRead {
			return nil, tooLong(id, len(chain)+1)
		}
		chain, next = append(chain, e), r.Previous
	}
	slices.Reverse(chain)
	return chain, nil
}

// tooLong returns the error for a conversation of which the last n responses have too much. Clients
// shorten a conversation by its code.
func tooLong(id string, n int) *generate.RequestError {
	return &generate.RequestError{
		Code:  generate.CodeContext,
		Param: "previous_response_id",
		Message: fmt.Sprintf("The conversation of the previous response with id '%s' is too long: "+
			"its last %d responses alone have more than this server reads for one request, which is "+
			"%d bytes of items and %d of responses with their tools and instructions. Begin a new "+
			"conversation, without previous_response_id, from a summary of this one.", id, n,
			maxReferred, maxRead),
	}
}

// elsewhere says why a response may be missing, and what then helps.
const elsewhere = " It was not stored, was deleted, is older than what this server keeps, or " +
	"another replica has it: send the whole conversation as input; behind a proxy that divides sessions " +
	"among replicas, send the same X-Session-ID with each request of a conversation."

// previousNotFound returns the error by which clients of OpenAI's API recognise that the response
// to continue is missing.
func previousNotFound(format string, args ...any) *generate.RequestError {
	return &generate.RequestError{
		Code:    "previous_response_not_found",
		Param:   "previous_response_id",
		Message: fmt.Sprintf(format, args...),
	}
}

// placeOf returns the id of the response that an item's id leads to, and the item's place in it.
func placeOf(item string) (response, place string, ok bool) {
	_, rest, _ := strings.Cut(item, "_")
	code, place, _ := strings.Cut(rest, "_")
	return responsePrefix + code, place, isCode(code)
}
