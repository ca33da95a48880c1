package buckets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loadstone/internal/objects"
)

// A NATSConfig says which bucket of a NATS server it is.
type NATSConfig struct {
	Bucket   string // letters, digits, _ and -
	Replicas int    // servers of a cluster that keep it, where it does not exist yet; 0: one
}

var natsBucket = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// NATS is a bucket of a NATS server with JetStream. Its methods may be called from many goroutines
// at once.
type NATS struct {
	nc     *nats.Conn
	bucket string
	js     jetstream.JetStream
	stream jetstream.Stream      // a message for each object
	large  jetstream.ObjectStore // what does not fit in a message
	prefix string                // of the subjects
	inline int                   // bytes that fit in a message
}

// Headers of messages.
const (
	largeKey     = "Loadstone-Large" // the object is in the object store, under this name
	sizeKey      = "Loadstone-Size"  // and has so many bytes
	operationKey = "KV-Operation"    // the message is what other programs leave of a deleted key
)

// OpenNATS opens a bucket, and makes it where there is none. Close closes the connection.
func OpenNATS(ctx context.Context, nc *nats.Conn, c NATSConfig) (*NATS, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	b := &NATS{nc: nc, bucket: c.Bucket, js: js, prefix: "$KV." + c.Bucket + "."}
	if b.stream, err = stream(ctx, js, c); err != nil {
		return nil, b.failed("open", c.Bucket, err)
	}
	config := b.stream.CachedInfo().Config
	switch {
	case config.MaxMsgsPerSubject != 1 || config.MaxAge != 0 || config.DenyDelete:
		return nil, fmt.Errorf("the bucket %q of the NATS server at %s belongs to something else: want "+
			"one with a history of 1, without an age, that allows to delete messages, or the name of one "+
			"that does not exist", c.Bucket, nc.ConnectedAddr())
	case config.AllowDirect && config.Replicas > 1:
		return nil, fmt.Errorf("any of the %d servers that keep the bucket %q may answer who reads from "+
			"it, also one that has not seen the last write: want nats stream edit KV_%[2]s "+
			"--no-allow-direct", config.Replicas, c.Bucket)
	}
	b.large, err = js.ObjectStore(ctx, c.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		b.large, err = js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket:   c.Bucket,
			Replicas: max(c.Replicas, 1),
		})
	}
	if err != nil {
		return nil, b.failed("open", c.Bucket, err)
	}
	// Where a server answers reads by itself, what it sends has a third more bytes than the object.
	b.inline = int(nc.MaxPayload()) / 8 * 5
	if err := b.sweep(ctx); err != nil {
		return nil, b.failed("open", c.Bucket, err)
	}
	return b, nil
}

// stream finds the stream of a bucket, or makes it. It is as a key-value bucket's of NATS but that
// messages can be deleted, and that only the server that leads answers reads: any other of a
// cluster may not have seen the last write.
func stream(ctx context.Context, js jetstream.JetStream, c NATSConfig) (jetstream.Stream, error) {
	name, replicas := "KV_"+c.Bucket, max(c.Replicas, 1)
	if _, err := js.AccountInfo(ctx); err != nil {
		return nil, err
	}
	s, err := js.Stream(ctx, name)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, err
	}
	s, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name:              name,
		Subjects:          []string{"$KV." + c.Bucket + ".>"},
		Storage:           jetstream.FileStorage,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		Duplicates:        duplicates,
		Replicas:          replicas,
		AllowRollup:       true,
		AllowDirect:       replicas == 1,
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return js.Stream(ctx, name) // another server has made it just now
	}
	return s, err
}

// Close closes the connection.
func (b *NATS) Close() error { b.nc.Close(); return nil }

// duplicates is how long a server remembers the writes that it has done; a write is sent again for
// a shorter time, each time with the same name, so that it is done once.
const (
	duplicates = 2 * time.Minute
	patience   = time.Minute
	answer     = 2 * time.Second // how long an answer is waited for before it counts as lost
)

// An entry is the message of an object.
type entry struct {
	data    []byte
	version version
	id      string // of the write
}

// A version is the sequence number of a message, and the name of what it has in the object store.
// As text it has a dot in between.
type version struct {
	seq   uint64
	large string
}

func (v version) String() string {
	text := strconv.FormatUint(v.seq, 10)
	if v.large != "" {
		text += "." + v.large
	}
	return text
}

func parseVersion(text string) (v version, err error) {
	seq, large, _ := strings.Cut(text, ".")
	v.large = large
	v.seq, err = strconv.ParseUint(seq, 10, 64)
	return v, err
}

// subject is that of an object's message.
func (b *NATS) subject(name string) string { return b.prefix + subjects.Replace(name) }

// Between the dots of a subject there is what is between the slashes of a name, where a dot would
// divide it.
var (
	subjects   = strings.NewReplacer("/", ".", ".", "=")
	ofSubjects = strings.NewReplacer(".", "/", "=", ".")
)

// last is the message of an object. The error is fs.ErrNotExist where there is none.
func (b *NATS) last(ctx context.Context, name string) (e entry, err error) {
	m, err := again(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return b.stream.GetLastMsgForSubject(ctx, b.subject(name))
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return entry{}, none(name)
	}
	if err != nil {
		return entry{}, err
	}
	if m.Header.Get(operationKey) != "" {
		return entry{}, none(name) // another program has deleted it
	}
	return entry{m.Data, version{m.Sequence, m.Header.Get(largeKey)}, m.Header.Get(nats.MsgIdHdr)}, nil
}

// again asks until an answer comes, or has not come for a while.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (got T, err error) {
	over, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		one, cancel := context.WithTimeout(over, answer)
		got, err = ask(one)
		cancel()
		if err == nil || !lost(err) || over.Err() != nil {
			break
		}
		if pause(over, 50*time.Millisecond) != nil {
			break
		}
	}
	return got, cmp.Or(ctx.Err(), err)
}

// lost tells whether an error says that no answer came, or that the server cannot do it yet.
func lost(err error) bool {
	var e *jetstream.APIError
	if errors.As(err, &e) {
		return e.Code >= 500 && e.ErrorCode != jetstream.JSErrCodeJetStreamNotEnabled
	}
	for _, one := range []error{context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders,
		jetstream.ErrNoStreamResponse, nats.ErrDisconnected, nats.ErrConnectionReconnecting} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// Get returns an object's bytes and version.
func (b *NATS) Get(ctx context.Context, name string) ([]byte, string, error) {
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	for range gets {
		e, err := b.last(ctx, name)
		if err != nil {
			return nil, "", b.failed("get", name, err)
		}
		if e.version.large == "" {
			return e.data, e.version.String(), nil
		}
		data, err := b.large.GetBytes(ctx, e.version.large)
		if err == nil {
			return data, e.version.String(), nil
		}
		if ctx.Err() != nil || !errors.Is(err, jetstream.ErrObjectNotFound) {
			return nil, "", b.failed("get", name, cmp.Or(ctx.Err(), err))
		}
		if now, err := b.last(ctx, name); err == nil && now.version == e.version {
			// Nobody has replaced it: a server of a cluster has not seen it yet, or it is lost.
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return nil, "", b.failed("get", name, err)
			}
		}
	}
	return nil, "", b.failed("get", name, errors.New("its bytes are not where its message says"))
}

// Put writes an object under a condition.
func (b *NATS) Put(ctx context.Context, name string, data []byte, was string) (string, error) {
	if err := cmp.Or(checkName(name), checkSize(name, data)); err != nil {
		return "", err
	}
	m := nats.NewMsg(b.subject(name))
	id := rand.Text()
	options := []jetstream.PublishOpt{jetstream.WithMsgID(id)}
	var before version
	switch was {
	case objects.Any:
		e, err := b.last(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", b.failed("put", name, err)
		}
		before = e.version
	case objects.None:
		options = append(options, jetstream.WithExpectLastSequencePerSubject(0))
	default:
		var err error
		if before, err = parseVersion(was); err != nil {
			return "", changed(name) // the version is of no store of this kind
		}
		options = append(options, jetstream.WithExpectLastSequencePerSubject(before.seq))
	}
	after := version{}
	if m.Data = data; len(data) > b.inline {
		after.large = id
		m.Header.Set(largeKey, id)
		m.Header.Set(sizeKey, strconv.Itoa(len(data)))
		m.Data = nil
		if err := b.putLarge(ctx, id, data); err != nil {
			return "", b.failed("put", name, err)
		}
	}
	ack, err := again(ctx, func(ctx context.Context) (*jetstream.PubAck, error) {
		return b.js.PublishMsg(ctx, m, options...)
	})
	switch {
	case outdated(err):
		now, err := b.last(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", b.failed("put", name, err)
		}
		if err != nil || now.id != id { // not this write, whose answer was lost
			b.drop(ctx, after)
			return "", changed(name)
		}
		after.seq = now.version.seq
	case err != nil: // it may have been written: what is in the object store stays
		return "", b.failed("put", name, err)
	default:
		after.seq = ack.Sequence
	}
	b.drop(ctx, before)
	return after.String(), nil
}

// outdated tells whether an error says that an object has not the version that it was to have.
func outdated(err error) bool {
	var e *jetstream.APIError
	return errors.As(err, &e) && (e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// part is how many bytes of a large object are in a message.
const part = 512 << 10

func (b *NATS) putLarge(ctx context.Context, id string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := b.large.Put(ctx, jetstream.ObjectMeta{
		Name: id,
		Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(min(part, b.nc.MaxPayload()/2))},
	}, bytes.NewReader(data))
	return err
}

// drop deletes what a version has in the object store. What stays there because it fails is swept
// up when a bucket is opened.
func (b *NATS) drop(ctx context.Context, v version) {
	if v.large != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answer)
		defer cancel()
		b.large.Delete(ctx, v.large)
	}
}

// Delete removes an object under a condition. A message is deleted by its number, so that one which
// has come in its place stays.
func (b *NATS) Delete(ctx context.Context, name, was string) error {
	if err := checkName(name); err != nil {
		return err
	}
	for {
		e, err := b.last(ctx, name)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return b.failed("delete", name, err)
		case err != nil && (was == objects.Any || was == objects.None):
			return nil
		case err != nil, was != objects.Any && e.version.String() != was:
			return changed(name)
		}
		asked := 0
		_, err = again(ctx, func(ctx context.Context) (none struct{}, err error) {
			asked++
			return none, b.stream.DeleteMsg(ctx, e.version.seq)
		})
		if err == nil {
			b.drop(ctx, e.version)
			return nil
		}
		// Somebody else has deleted or replaced it, or this deletion has, and its answer was lost: not
		// where the only one that was asked for was refused.
		refused := asked == 1 && errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful)
		now, nowErr := b.last(ctx, name)
		switch {
		case errors.Is(nowErr, fs.ErrNotExist) && refused && was != objects.Any:
			return changed(name)
		case errors.Is(nowErr, fs.ErrNotExist):
			return nil
		case nowErr != nil || now.version == e.version:
			return b.failed("delete", name, err)
		case was != objects.Any:
			return changed(name)
		}
	}
}

// List calls f for each object whose name begins with prefix, in the order of the names.
func (b *NATS) List(ctx context.Context, prefix string, f func(objects.Object) error) error {
	all, err := b.list(ctx, prefix)
	if err != nil {
		return b.failed("list", prefix, err)
	}
	for _, o := range all {
		if err := cmp.Or(ctx.Err(), f(o)); err != nil {
			return err
		}
	}
	return nil
}
