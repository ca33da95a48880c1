package buckets_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gotest.tools/v3/assert"

	"loadstone/internal/objects"
	"loadstone/internal/objects/buckettest"
)

var put, get, holds, absent, list = buckettest.Put, buckettest.Get, buckettest.Holds,
	buckettest.Absent, buckettest.List

// testStore holds a bucket of a store to the contract, and to what only a store must do.
func testStore(t *testing.T, open func(*testing.T) objects.Bucket) {
	buckettest.Test(t, open)
	b := open(t)
	t.Run("refused", func(t *testing.T) { testRefused(t, b) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, b) })
}

// What is no name, or too large, is refused.
func testRefused(t *testing.T, b objects.Bucket) {
	_, err := b.Put(t.Context(), "sizes/too-large", make([]byte, objects.MaxObject+1), objects.None)
	assert.Assert(t, err != nil && !errors.Is(err, objects.ErrChanged), "%v", err)
	absent(t, b, "sizes/too-large")
	for _, name := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a b",
		"a?b", "a#b", "a%2Fb", "a*b", "a>b", "a=b", "ü", "a\x00b", "a\nb", strings.Repeat("n", 201)} {
		_, err := b.Put(t.Context(), name, []byte("x"), objects.Any)
		assert.Check(t, err != nil && !errors.Is(err, objects.ErrChanged), "%q: %v", name, err)
		_, _, err = b.Get(t.Context(), name)
		assert.Check(t, err != nil, "%q", name)
		assert.Check(t, b.Delete(t.Context(), name, objects.Any) != nil, "%q", name)
	}
}

// What is cancelled ends with the context's error.
func testCancelled(t *testing.T, b objects.Bucket) {
	version := put(t, b, "cancelled", "before", objects.None)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := b.Get(ctx, "cancelled")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = b.Put(ctx, "cancelled", []byte("after"), version)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, b.Delete(ctx, "cancelled", version), context.Canceled)
	assert.ErrorIs(t, b.List(ctx, "", func(objects.Object) error { return nil }), context.Canceled)
	holds(t, b, "cancelled", "before", version)
}
