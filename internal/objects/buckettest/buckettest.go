// Package buckettest holds buckets to the contract of objects.Bucket. It is apart from objectstest,
// since tests with a flag -update cannot import gotest.tools, which has one, too.
package buckettest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"loadstone/internal/objects"
)

// Test holds a bucket to the contract. open returns one more client of it; it is empty.
func Test(t *testing.T, open func(*testing.T) objects.Bucket) {
	b := open(t)
	t.Run("versions", func(t *testing.T) { testVersions(t, b) })
	t.Run("sizes", func(t *testing.T) { testSizes(t, b) })
	t.Run("names", func(t *testing.T) { testNames(t, b) })
	t.Run("delete", func(t *testing.T) { testDelete(t, b, open(t)) })
	t.Run("one creates", func(t *testing.T) { testCreate(t, open) })
	t.Run("compare and set", func(t *testing.T) { testCompareAndSet(t, open) })
	t.Run("delete or set", func(t *testing.T) { testDeleteOrSet(t, open) })
	t.Run("list", func(t *testing.T) { testList(t, b) })
}

// Put puts an object that has the version was, and returns its new version.
func Put(t *testing.T, b objects.Bucket, name, data, was string) (version string) {
	t.Helper()
	version, err := b.Put(t.Context(), name, []byte(data), was)
	assert.NilError(t, err)
	assert.Assert(t, version != objects.None && version != objects.Any)
	return version
}

// Get returns what an object holds, and its version.
func Get(t *testing.T, b objects.Bucket, name string) (data, version string) {
	t.Helper()
	text, version, err := b.Get(t.Context(), name)
	assert.NilError(t, err)
	return string(text), version
}

// Holds checks what an object holds, and its version.
func Holds(t *testing.T, b objects.Bucket, name, data, version string) {
	t.Helper()
	gotData, gotVersion := Get(t, b, name)
	assert.Equal(t, gotData, data)
	assert.Equal(t, gotVersion, version)
}

// Absent fails the test if the bucket has an object of that name.
func Absent(t *testing.T, b objects.Bucket, name string) {
	t.Helper()
	_, _, err := b.Get(t.Context(), name)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	for _, o := range List(t, b, name) {
		assert.Assert(t, o.Name != name)
	}
}

// List returns the objects of a prefix.
func List(t *testing.T, b objects.Bucket, prefix string) (all []objects.Object) {
	t.Helper()
	assert.NilError(t, b.List(t.Context(), prefix, func(o objects.Object) error {
		all = append(all, o)
		return nil
	}))
	return all
}

// A write is done if the object has the version that it is to have, and not otherwise.
func testVersions(t *testing.T, b objects.Bucket) {
	ctx := t.Context()
	const name = "versions/one"
	refused := func(data, was string) {
		t.Helper()
		_, err := b.Put(ctx, name, []byte(data), was)
		assert.ErrorIs(t, err, objects.ErrChanged)
	}
	Absent(t, b, name)
	elsewhere := Put(t, b, "versions/two", "of another object", objects.None)
	refused("a", elsewhere)
	Absent(t, b, name)
	first := Put(t, b, name, "a", objects.None)
	Holds(t, b, name, "a", first)
	refused("b", objects.None)
	refused("b", elsewhere)
	Holds(t, b, name, "a", first)
	second := Put(t, b, name, "b", first)
	assert.Assert(t, second != first)
	refused("c", first)
	Holds(t, b, name, "b", second)
	third := Put(t, b, name, "c", objects.Any)
	Holds(t, b, name, "c", third)
	Holds(t, b, "versions/other", "d", Put(t, b, "versions/other", "d", objects.Any))
	Holds(t, b, "versions/two", "of another object", elsewhere)
}

// Objects of each size come back as they were, and one that is too large is refused.
func testSizes(t *testing.T, b objects.Bucket) {
	for _, n := range []int{0, 1, 41, 700 << 10, 4<<20 + 16, objects.MaxObject} {
		name := fmt.Sprint("sizes/", n)
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * (i>>8 + 7) >> 3)
		}
		version := Put(t, b, name, string(data), objects.None)
		got, gotVersion, err := b.Get(t.Context(), name)
		assert.NilError(t, err)
		assert.Assert(t, bytes.Equal(got, data), "%d bytes, want %d", len(got), n)
		assert.Equal(t, gotVersion, version)
		o := List(t, b, name)
		assert.Equal(t, o[0].Name, name)
		assert.Equal(t, o[0].Size, int64(n))
		assert.Equal(t, o[0].Version, version)
		next := Put(t, b, name, "x", version) // a small one in place of a large one
		Holds(t, b, name, "x", next)
		version = Put(t, b, name, string(data), next)
		assert.NilError(t, b.Delete(t.Context(), name, version))
		Absent(t, b, name)
	}
}

// Each name is kept apart from all others.
func testNames(t *testing.T, b objects.Bucket) {
	good := []string{"names/a", "names/A", "names/a.b", "names/a-b", "names/a_b", "names/d/b",
		"names/.a", "names/..a", "names/a.", "names/a..b", "names/...", "names/d/.b", "names/-",
		"names/0", "names/" + strings.Repeat("n", 194)}
	for _, name := range good {
		Put(t, b, name, name, objects.None)
	}
	var all []string
	for _, o := range List(t, b, "names/") {
		all = append(all, o.Name)
		data, _ := Get(t, b, o.Name)
		assert.Equal(t, data, o.Name)
	}
	slices.Sort(good)
	assert.DeepEqual(t, all, good)
}

// A deletion is done if the object has the version that it is to have. What was deleted is gone for
// all clients, and can be made anew.
func testDelete(t *testing.T, b, other objects.Bucket) {
	ctx := t.Context()
	const name = "delete/one"
	assert.NilError(t, b.Delete(ctx, name, objects.Any))
	for round := range 3 {
		first := Put(t, b, name, fmt.Sprint("first ", round), objects.None)
		second := Put(t, b, name, fmt.Sprint("second ", round), first)
		assert.ErrorIs(t, other.Delete(ctx, name, first), objects.ErrChanged)
		Holds(t, b, name, fmt.Sprint("second ", round), second)
		assert.NilError(t, other.Delete(ctx, name, second))
		Absent(t, b, name)
		Absent(t, other, name)
		assert.ErrorIs(t, other.Delete(ctx, name, second), objects.ErrChanged)
		_, err := b.Put(ctx, name, []byte("in place of what is gone"), second)
		assert.ErrorIs(t, err, objects.ErrChanged)
		Absent(t, b, name)
	}
	Put(t, b, name, "third", objects.None)
	assert.NilError(t, b.Delete(ctx, name, objects.Any))
	Absent(t, other, name)
}

const writers = 8

// together runs f by that many writers at once, each with a client of its own.
func together(t *testing.T, open func(*testing.T) objects.Bucket,
	f func(writer int, b objects.Bucket) error) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs error
	for i := range writers {
		b := open(t)
		all.Go(func() {
			if err := f(i, b); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = errors.Join(errs, err)
			}
		})
	}
	all.Wait()
	assert.NilError(t, errs)
}

// Of several that create an object one does.
func testCreate(t *testing.T, open func(*testing.T) objects.Bucket) {
	const rounds = 10
	var mu sync.Mutex
	won := map[string]int{} // by object, how many created it
	together(t, open, func(writer int, b objects.Bucket) error {
		for round := range rounds {
			name := fmt.Sprint("create/", round)
			mine := fmt.Sprint("of ", writer)
			version, err := b.Put(t.Context(), name, []byte(mine), objects.None)
			switch {
			case errors.Is(err, objects.ErrChanged):
			case err != nil:
				return err
			default:
				mu.Lock()
				won[name]++
				mu.Unlock()
				data, now, err := b.Get(t.Context(), name)
				if err != nil || string(data) != mine || now != version {
					return fmt.Errorf("%s has %q, version %s; it was created with %q, version %s: %v",
						name, data, now, mine, version, err)
				}
			}
		}
		return nil
	})
	for round := range rounds {
		assert.Equal(t, won[fmt.Sprint("create/", round)], 1)
	}
}

// Writers that add to one number, each on top of what it has read, lose nothing.
func testCompareAndSet(t *testing.T, open func(*testing.T) objects.Bucket) {
	const each, name = 8, "set/number"
	Put(t, open(t), name, "0", objects.None)
	together(t, open, func(writer int, b objects.Bucket) error {
		for done := 0; done < each; {
			data, was, err := b.Get(t.Context(), name)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(data))
			if err != nil {
				return err
			}
			switch _, err := b.Put(t.Context(), name, []byte(strconv.Itoa(n+1)), was); {
			case err == nil:
				done++
			case !errors.Is(err, objects.ErrChanged):
				return err
			}
		}
		return nil
	})
	data, _ := Get(t, open(t), name)
	assert.Equal(t, data, strconv.Itoa(writers*each))
}

// Of a deletion and writes, all under the condition of one version, one is done, and the object is
// then as that has left it.
func testDeleteOrSet(t *testing.T, open func(*testing.T) objects.Bucket) {
	const rounds = 5
	var versions [rounds]string
	b := open(t)
	for i := range versions {
		versions[i] = Put(t, b, fmt.Sprint("race/", i), "before", objects.None)
	}
	var mu sync.Mutex
	done := map[string][]string{} // by object, what the writers left that were told that it is done
	together(t, open, func(writer int, b objects.Bucket) error {
		for i, was := range versions {
			name, mine := fmt.Sprint("race/", i), ""
			var err error
			if writer%2 == 0 {
				err = b.Delete(t.Context(), name, was)
			} else {
				mine = fmt.Sprint("of ", writer)
				_, err = b.Put(t.Context(), name, []byte(mine), was)
			}
			switch {
			case err == nil:
				mu.Lock()
				done[name] = append(done[name], mine)
				mu.Unlock()
			case !errors.Is(err, objects.ErrChanged):
				return err
			}
		}
		return nil
	})
	for i := range versions {
		name := fmt.Sprint("race/", i)
		assert.Equal(t, len(done[name]), 1, "%q", done[name])
		if left := done[name][0]; left == "" {
			Absent(t, b, name)
		} else {
			data, _ := Get(t, b, name)
			assert.Equal(t, data, left)
		}
	}
}

// A list has all objects of a prefix in the order of their names, beyond a page of the store.
func testList(t *testing.T, b objects.Bucket) {
	const n = 1010
	assert.Equal(t, len(List(t, b, "list/")), 0)
	one := func(*testing.T) objects.Bucket { return b }
	together(t, one, func(writer int, b objects.Bucket) error {
		for i := writer; i < n; i += writers {
			name, data := fmt.Sprintf("list/%04d", i), []byte(fmt.Sprint(i))
			if _, err := b.Put(t.Context(), name, data, objects.None); err != nil {
				return err
			}
		}
		return nil
	})
	Put(t, b, "list/010/below", "x", objects.None)
	Put(t, b, "list.before", "x", objects.None)
	Put(t, b, "list0after", "x", objects.None)
	assert.NilError(t, b.Delete(t.Context(), "list/0777", objects.Any))
	_, version := Get(t, b, "list/0778")
	assert.NilError(t, b.Delete(t.Context(), "list/0778", version))
	all := List(t, b, "list/")
	assert.Equal(t, len(all), n+1-2)
	assert.Assert(t, slices.IsSortedFunc(all, func(a, b objects.Object) int {
		return strings.Compare(a.Name, b.Name)
	}))
	for _, i := range []int{0, 500, len(all) - 1} {
		data, version := Get(t, b, all[i].Name)
		assert.Equal(t, all[i].Size, int64(len(data)))
		assert.Equal(t, all[i].Version, version)
		age := time.Since(all[i].Modified)
		assert.Assert(t, -time.Hour < age && age < 24*time.Hour, "%v", age)
	}
	var names []string
	for _, o := range List(t, b, "list/010") {
		names = append(names, o.Name)
	}
	assert.DeepEqual(t, names, []string{"list/010/below", "list/0100", "list/0101", "list/0102",
		"list/0103", "list/0104", "list/0105", "list/0106", "list/0107", "list/0108", "list/0109"})
	assert.Equal(t, len(List(t, b, "list/010/")), 1)
	assert.Equal(t, len(List(t, b, "list")), n+1-2+2)
	assert.Assert(t, len(List(t, b, "")) >= n)
	calls, enough := 0, errors.New("enough")
	err := b.List(t.Context(), "list/", func(objects.Object) error { calls++; return enough })
	assert.ErrorIs(t, err, enough)
	assert.Equal(t, calls, 1)
}
