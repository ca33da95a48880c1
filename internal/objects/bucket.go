package objects

import (
	"context"
	"errors"
	"time"
)

// A Bucket keeps objects by name. Names are of ASCII letters, digits and the characters - . _ /,
// and have at most 200 bytes. Its methods may be called from many goroutines at once.
//
// A change that is reported as failed may have happened, or may happen later, as long as its
// condition holds then: an answer can get lost, and a request can be slow. The other way around a
// change that is reported as done is durable, and every later Get and List sees it, of all clients.
type Bucket interface {
	// Get returns an object's bytes and version; the error is fs.ErrNotExist where there is none.
	Get(ctx context.Context, name string) (data []byte, version string, err error)
	// Put writes an object whole and returns its version. It fails with ErrChanged, and changes
	// nothing, unless the object that is there has the version was; was None means that there must
	// be none, Any that it does not matter. It does not keep data. Objects have at most MaxObject
	// bytes.
	Put(ctx context.Context, name string, data []byte, was string) (version string, err error)
	// Delete removes an object if it has the version was, as in Put; that there is none is no error
	// with Any. An implementation whose store has no conditional deletion may put an empty
	// tombstone under the condition first, which it must treat as no object everywhere.
	Delete(ctx context.Context, name, was string) error
	// List calls f for each object whose name begins with prefix, in the order of the names, until
	// f returns an error, which List returns. Version is as Get would return it.
	List(ctx context.Context, prefix string, f func(Object) error) error
	Close() error
}

// An Object is what a list says of an object.
type Object struct {
	Name     string
	Size     int64
	Modified time.Time // by the store's clock
	Version  string
}

// Versions that stand for no version. Others are any text without these two.
const (
	None = ""
	Any  = "*"
)

// MaxObject is the maximum size of an object in bytes: chunks are smaller, and records are, too, up
// to contexts of some million tokens.
const MaxObject = 8 << 20

// ErrChanged says that an object did not have the version that it had to have.
var ErrChanged = errors.New("the object has changed")
