package objects

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// collections is the object of this name: how many collections have condemned chunks, and the
// objects with the lists of what the last ones have condemned, the newest first.
type collections struct {
	Epoch int64    `json:"epoch"`
	Lists []string `json:"lists"`
}

const (
	collectionsObject = "collections"
	condemnedDir      = "condemned/"

	maxLists     = 8
	maxCondemned = 10000 // chunks in one collection
	collectAfter = 10 * time.Minute
)

// Collect removes chunks that no file has had for some minutes. held reports whether somebody may
// be about to write behind a fence with a content. It returns how many chunks it has removed.
// Several Systems may collect at the same time; that each chunk stays that is named, or is about to
// be, rests on no clock:
//
//  1. Chunks that no record names are condemned: their list is put, and then the object
//     collections, on the condition that it is as it was, with the next epoch.
//  2. All records are read again. A record behind whose fence somebody may be writing is marked
//     with the epoch.
//  3. Of the condemned chunks those are removed that no record names now.
//
// The writer of a file (a draft) chooses names of chunks first, reads collections after that, and
// names the chunks in the record last, on the condition that the record is as it was; all of it
// behind a fence that says so from before until after. If it reads collections before step 1, the
// record is read in step 2 either after it named them, and they stay; or before, and is marked:
// then the condition does not hold, and the draft reads collections again. If it reads collections
// after step 1, or again, it knows the list, and names none of it: it fails with ErrCollected, and
// the file is written again, with other names. A name is made of the content and of the epoch in
// which the chunk was put, so what is put after step 1 has a name that no list of this collection
// or of an earlier one has, however late they remove. Names that a writer has learnt from records
// are compared with the lists of the last collections, and a collection whose list is no longer
// among those removes nothing.
func (s *System) Collect(held func(fence []byte) bool) (removed int, err error) {
	condemned, err := s.unnamed()
	if err != nil || len(condemned) == 0 {
		return 0, err
	}
	epoch, list, err := s.announce(condemned)
	if err != nil || epoch == 0 {
		return 0, err
	}
	named, err := s.markAll(epoch, held)
	if err != nil {
		return 0, err
	}
	all, _, err := s.readCollections()
	if err != nil || !slices.Contains(all.Lists, list) {
		return 0, err
	}
	isNamed := func(object string) bool { return named[nameHash(object)] }
	condemned = slices.DeleteFunc(condemned, isNamed)
	err = each(len(condemned), func(i int) error {
		return s.free(condemned[i])
	})
	if err != nil {
		return 0, err
	}
	return len(condemned), nil
}

// unnamed returns the chunks that no record has named in this and in an earlier look at them.
func (s *System) unnamed() (objects []string, err error) {
	chunks, err := s.list(chunksDir)
	if err != nil {
		return nil, err
	}
	sums, err := s.summaries()
	if err != nil {
		return nil, err
	}
	named, err := namedIn(sums)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, suspects := time.Now(), make(map[string]time.Time)
	for _, o := range chunks {
		if named[nameHash(o.Name)] {
			continue
		}
		since, ok := s.suspects[o.Name]
		if !ok {
			since = now
		}
		suspects[o.Name] = since
		if now.Sub(since) >= collectAfter && len(objects) < maxCondemned {
			objects = append(objects, o.Name)
		}
	}
	s.suspects = suspects
	return objects, nil
}

// namedIn returns the hashes of the names of all chunks that records name. A record that cannot be
// read may name any.
func namedIn(sums []*summary) (map[uint64]bool, error) {
	named := make(map[uint64]bool)
	for _, sum := range sums {
		if sum.err != nil {
			return nil, fmt.Errorf("chunks that nothing needs are kept: %w", sum.err)
		}
		for _, h := range sum.refs {
			named[h] = true
		}
	}
	return named, nil
}

// announce condemns chunks. It returns the epoch from which all know it, 0 if another one was
// faster, and the object with the list.
func (s *System) announce(condemned []string) (epoch int64, list string, err error) {
	all, version, err := s.readCollections()
	if err != nil {
		return 0, "", err
	}
	list = condemnedDir + rand.Text()
	if _, err := s.putJSON(list, condemned, None); err != nil {
		return 0, "", err
	}
	lists := append([]string{list}, all.Lists...)
	old := lists[min(len(lists), maxLists):]
	next := collections{all.Epoch + 1, lists[:min(len(lists), maxLists)]}
	_, err = s.putJSON(collectionsObject, next, version)
	if errors.Is(err, ErrChanged) { // by another one, or by this one and the answer was lost
		if all, _, err = s.readCollections(); err != nil {
			return 0, "", err
		}
		i := slices.Index(all.Lists, list)
		if i < 0 {
			s.free(list)
			return 0, "", nil // the other one collects
		}
		return all.Epoch - int64(i), list, s.catchUp()
	}
	if err != nil {
		return 0, "", err
	}
	for _, name := range old {
		s.free(name) // what stays is small
	}
	return next.Epoch, list, s.catchUp()
}

// free removes an object that nobody needs.
func (s *System) free(object string) error {
	return s.reach.do(func(ctx context.Context) error { return s.bucket.Delete(ctx, object, Any) })
}

// markAll marks the records behind whose fences somebody may be writing, and returns what all
// records name then.
func (s *System) markAll(epoch int64, held func([]byte) bool) (named map[uint64]bool, err error) {
	sums, err := s.summaries()
	if err != nil {
		return nil, err
	}
	err = each(len(sums), func(i int) (err error) {
		if sum := sums[i]; sum.err == nil && sum.fence != nil && held(sum.fence) {
			sums[i], err = s.markOne(sum.name, epoch)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return namedIn(sums)
}

func (s *System) markOne(name string, epoch int64) (*summary, error) {
	for {
		r, err := s.load(name)
		if err != nil {
			return nil, err
		}
		if r.broken != nil || r.version == None || r.record.Epoch >= epoch {
			return s.summarize(name, r), nil
		}
		t := &transaction{System: s, name: name, read: r}
		next := r.record.with(nil)
		next.Epoch = epoch
		version, err := t.put(next)
		s.forgetOwn(name)
		if err == nil {
			return s.summarize(name, &read{record: next, version: version}), nil
		}
		if !errors.Is(err, ErrChanged) {
			return nil, err
		}
	}
}

// catchUp reads what collections have condemned since the last time.
func (s *System) catchUp() error {
	s.epochs <- struct{}{}
	defer func() { <-s.epochs }()
	all, _, err := s.readCollections()
	if err != nil {
		return err
	}
	for epoch := s.known.now() + 1; epoch <= all.Epoch; epoch++ {
		var condemned map[string]bool // nil: anything
		if i := all.Epoch - epoch; i < int64(len(all.Lists)) {
			condemned, err = s.readList(all.Lists[i])
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		s.condemn(epoch, condemned)
	}
	return nil
}

// condemn has no chunk named from now on that a collection has condemned.
func (s *System) condemn(epoch int64, condemned map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.condemn(epoch, condemned)
	for _, d := range s.drafts {
		for _, r := range d.taken {
			if condemned == nil || condemned[r.object()] {
				d.condemned = true
			}
		}
	}
}

func (s *System) readCollections() (all collections, version string, err error) {
	version, err = s.getJSON(collectionsObject, &all)
	if errors.Is(err, fs.ErrNotExist) {
		return collections{}, None, nil
	}
	return all, version, err
}

func (s *System) readList(object string) (map[string]bool, error) {
	var list []string
	if _, err := s.getJSON(object, &list); err != nil {
		return nil, err
	}
	set := make(map[string]bool, len(list))
	for _, name := range list {
		set[name] = true
	}
	return set, nil
}

// getJSON and putJSON are for objects that are not sealed: they hold nothing but the names of
// others.
func (s *System) getJSON(object string, v any) (version string, err error) {
	var data []byte
	err = s.reach.do(func(ctx context.Context) (err error) {
		data, version, err = s.bucket.Get(ctx, object)
		return err
	})
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return None, fmt.Errorf("object %s: %w", object, err)
	}
	return version, nil
}

func (s *System) putJSON(object string, v any, was string) (version string, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return None, err
	}
	err = s.reach.do(func(ctx context.Context) (err error) {
		version, err = s.bucket.Put(ctx, object, data, was)
		return err
	})
	if err != nil {
		return None, fmt.Errorf("object %s: %w", object, err)
	}
	return version, nil
}
