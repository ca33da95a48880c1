package buckets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loadstone/internal/objects"
)

// page is how many messages are asked for at once.
const page = 1000

// list has the objects whose name begins with prefix, in the order of the names.
func (b *NATS) list(ctx context.Context, prefix string) ([]objects.Object, error) {
	return again(ctx, func(ctx context.Context) ([]objects.Object, error) {
		return b.listOnce(ctx, prefix)
	})
}

// errGap says that a message of a list was lost on the way.
var errGap = fmt.Errorf("a part of the list was lost: %w", context.DeadlineExceeded)

// listOnce reads the heads of all messages of a part of the names. One that comes while it reads
// takes the place of the one before, which it may have read.
func (b *NATS) listOnce(ctx context.Context, prefix string) ([]objects.Object, error) {
	filter := b.prefix
	if at := strings.LastIndexByte(prefix, '/'); at > 0 {
		filter += subjects.Replace(prefix[:at]) + "."
	}
	consumer, err := b.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubject:     filter + ">",
		HeadersOnly:       true,
		MemoryStorage:     true,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answer)
		defer cancel()
		b.stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
	}()
	found := map[string]objects.Object{}
	for left, seen := consumer.CachedInfo().NumPending, uint64(0); left > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch, err := consumer.FetchNoWait(page)
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			at, err := m.Metadata()
			if err != nil {
				return nil, err
			}
			if seen++; at.Sequence.Consumer != seen {
				return nil, errGap
			}
			if o, ok := b.object(m, at); ok && strings.HasPrefix(o.Name, prefix) {
				found[o.Name] = o
			}
		}
		if err := batch.Error(); err != nil {
			return nil, err
		}
		info, err := consumer.Info(ctx)
		if err != nil {
			return nil, err
		}
		left = info.NumPending // some may have been deleted
	}
	all := make([]objects.Object, 0, len(found))
	for _, o := range found {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b objects.Object) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// object is what a list says of a message's object; false where the message is another program's.
func (b *NATS) object(m jetstream.Msg, at *jetstream.MsgMetadata) (objects.Object, bool) {
	h := m.Headers()
	name := ofSubjects.Replace(strings.TrimPrefix(m.Subject(), b.prefix))
	if h.Get(operationKey) != "" || checkName(name) != nil {
		return objects.Object{}, false
	}
	v := version{at.Sequence.Stream, h.Get(largeKey)}
	size, err := strconv.ParseInt(cmp.Or(h.Get(sizeKey), h.Get("Nats-Msg-Size"), "0"), 10, 64)
	o := objects.Object{Name: name, Size: size, Modified: at.Timestamp, Version: v.String()}
	return o, err == nil
}

// unused is how old something in the object store must be before it counts as left behind by a
// write that was cut off: one that is under way has no message yet.
var unused = time.Hour

// sweep deletes what writes have left in the object store that were cut off.
func (b *NATS) sweep(ctx context.Context) error {
	there, err := b.large.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := b.list(ctx, "")
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, o := range all {
		v, err := parseVersion(o.Version)
		if err != nil {
			return err
		}
		used[v.large] = true
	}
	for _, o := range there {
		if !used[o.Name] && time.Since(o.ModTime) > unused {
			b.drop(ctx, version{large: o.Name})
		}
	}
	return nil
}

// failed puts an error into the words of a user who knows the server.
func (b *NATS) failed(what, name string, err error) error {
	at := b.nc.ConnectedAddr()
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("the NATS server at %s has no JetStream, which keeps objects: loadstone store "+
			"starts one that has, nats-server wants -js", at)
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("the NATS server at %s, bucket %s: %s of %s: %w",
		cmp.Or(at, "(no connection)"), b.bucket, what, name, err)
}
