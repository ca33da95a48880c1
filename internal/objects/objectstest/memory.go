// Package objectstest has buckets for tests: one in memory, and one around it that fails.
package objectstest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"loadstone/internal/objects"
)

// A Memory is a bucket in memory. It counts what goes through it.
type Memory struct {
	mu      sync.Mutex
	objects map[string]stored
	n       int
	traffic Traffic
}

type stored struct {
	data     []byte
	version  string
	modified time.Time
}

// Traffic counts operations and the bytes of objects.
type Traffic struct {
	Gets, Puts, Lists, Deletes int
	Got, Put                   int64
}

// NewMemory returns an empty bucket.
func NewMemory() *Memory { return &Memory{objects: make(map[string]stored)} }

func (m *Memory) Get(ctx context.Context, name string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.traffic.Gets++
	o, ok := m.objects[name]
	if !ok {
		return nil, "", fmt.Errorf("get %s: %w", name, fs.ErrNotExist)
	}
	m.traffic.Got += int64(len(o.data))
	return slices.Clone(o.data), o.version, ctx.Err()
}

// changed returns an error unless an object has a version. The caller holds mu.
func (m *Memory) changed(name, was string) error {
	if was != objects.Any && m.objects[name].version != was {
		return fmt.Errorf("%s: %w", name, objects.ErrChanged)
	}
	return nil
}

func (m *Memory) Put(ctx context.Context, name string, data []byte, was string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.traffic.Puts++
	m.traffic.Put += int64(len(data))
	if err := m.changed(name, was); err != nil {
		return "", err
	}
	m.n++
	o := stored{slices.Clone(data), fmt.Sprint(m.n), time.Now()}
	m.objects[name] = o
	return o.version, ctx.Err()
}

func (m *Memory) Delete(ctx context.Context, name, was string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.traffic.Deletes++
	if err := m.changed(name, was); err != nil {
		return err
	}
	delete(m.objects, name)
	return ctx.Err()
}

func (m *Memory) List(ctx context.Context, prefix string, f func(objects.Object) error) error {
	m.mu.Lock()
	m.traffic.Lists++
	all := maps.Clone(m.objects)
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if o := all[name]; strings.HasPrefix(name, prefix) {
			err := f(objects.Object{Name: name, Size: int64(len(o.data)), Modified: o.modified,
				Version: o.version})
			if err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (m *Memory) Close() error { return nil }

// Traffic returns what has gone through the bucket.
func (m *Memory) Traffic() Traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.traffic
}

// Names lists the objects whose names begin with a prefix.
func (m *Memory) Names(prefix string) (names []string) {
	m.List(context.Background(), prefix, func(o objects.Object) error {
		names = append(names, o.Name)
		return nil
	})
	return names
}

// Size returns how many bytes the objects have whose names begin with a prefix.
func (m *Memory) Size(prefix string) (bytes int64) {
	m.List(context.Background(), prefix, func(o objects.Object) error {
		bytes += o.Size
		return nil
	})
	return bytes
}

// Flip changes a bit of an object, as a store that rots does.
func (m *Memory) Flip(name string, bit int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data := m.objects[name].data
	data[bit/8%len(data)] ^= 1 << (bit % 8)
}
