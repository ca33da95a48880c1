package objectstest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"loadstone/internal/objects"
)

// TestBucket holds a bucket to what objects.Bucket says. The bucket is empty at first.
func TestBucket(t *testing.T, b objects.Bucket) {
	ctx := t.Context()
	get := func(name, want string) (version string) {
		t.Helper()
		data, version, err := b.Get(ctx, name)
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("get of %s, which is not there: %q %v", name, data, err)
			}
		} else if err != nil || string(data) != want {
			t.Errorf("get of %s: %q %v, want %q", name, data, err, want)
		}
		return version
	}
	put := func(name, text, was string, want error) (version string) {
		t.Helper()
		version, err := b.Put(ctx, name, []byte(text), was)
		if !errors.Is(err, want) {
			t.Fatalf("put of %s where there was %q: %v, want %v", name, was, err, want)
		}
		return version
	}
	remove := func(name, was string, want error) {
		t.Helper()
		if err := b.Delete(ctx, name, was); !errors.Is(err, want) {
			t.Errorf("delete of %s where there was %q: %v, want %v", name, was, err, want)
		}
	}
	get("records/a", "")
	remove("records/a", objects.Any, nil)
	put("records/a", "no", "1", objects.ErrChanged)
	v1 := put("records/a", "one", objects.None, nil)
	if v := get("records/a", "one"); v != v1 || v == objects.None || v == objects.Any {
		t.Errorf("version %q, put said %q", v, v1)
	}
	put("records/a", "no", objects.None, objects.ErrChanged)
	v2 := put("records/a", "two", v1, nil)
	put("records/a", "no", v1, objects.ErrChanged)
	remove("records/a", v1, objects.ErrChanged)
	get("records/a", "two")
	if v1 == v2 {
		t.Errorf("two contents have the version %q", v1)
	}
	put("records/b.c-1", "three", objects.Any, nil)
	v3 := put("records/b.c-1", "four", objects.Any, nil)
	put("other", "five", objects.None, nil)
	list := func() (names []string) {
		t.Helper()
		err := b.List(ctx, "records/", func(o objects.Object) error {
			names = append(names, fmt.Sprint(o.Name, " ", o.Size, " ", o.Version))
			return nil
		})
		if err != nil {
			t.Errorf("list: %v", err)
		}
		return names
	}
	if got, want := list(), []string{"records/a 3 " + v2, "records/b.c-1 4 " + v3}; !slices.Equal(got, want) {
		t.Errorf("list: %q, want %q", got, want)
	}
	stop := errors.New("stop")
	if err := b.List(ctx, "", func(objects.Object) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a list that is ended: %v", err)
	}
	remove("records/a", v2, nil)
	get("records/a", "")
	if got := list(); len(got) != 1 {
		t.Errorf("list after a delete: %q", got)
	}
	put("records/a", "no", v2, objects.ErrChanged)
	put("records/a", "again", objects.None, nil)
	large := bytes.Repeat([]byte("0123456789abcdef"), objects.MaxObject/16)
	if _, err := b.Put(ctx, "chunks/l.0", large, objects.None); err != nil {
		t.Errorf("put of %d bytes: %v", len(large), err)
	}
	if data, _, err := b.Get(ctx, "chunks/l.0"); err != nil || !bytes.Equal(data, large) {
		t.Errorf("get of %d bytes: %d, %v", len(large), len(data), err)
	}
	many(t, b)
}

// many lists more objects than a page has, and has clients count in one object at the same time.
func many(t *testing.T, b objects.Bucket) {
	const n = 1100
	var work sync.WaitGroup
	for from := range 20 {
		work.Go(func() {
			for i := from; i < n; i += 20 {
				if _, err := b.Put(t.Context(), fmt.Sprintf("many/%05d", i), []byte("x"), objects.None); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const clients, each = 4, 10
	for range clients {
		work.Go(func() {
			for done := 0; done < each; {
				data, version, err := b.Get(t.Context(), "count")
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
					return
				}
				_, err = b.Put(t.Context(), "count", append(data, '.'), version)
				if err == nil {
					done++
				} else if !errors.Is(err, objects.ErrChanged) {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	i := 0
	err := b.List(t.Context(), "many/", func(o objects.Object) error {
		if want := fmt.Sprintf("many/%05d", i); o.Name != want {
			return fmt.Errorf("%s is listed, want %s", o.Name, want)
		}
		i++
		return nil
	})
	if err != nil || i != n {
		t.Errorf("%d objects listed, want %d: %v", i, n, err)
	}
	if data, _, err := b.Get(t.Context(), "count"); len(data) != clients*each {
		t.Errorf("%d clients that add %d times have come to %d: %v", clients, each, len(data), err)
	}
}
