package buckets

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"loadstone/internal/objects"
)

// probes is how the names of the objects begin with which a store is tried.
const probes = ".probe/"

// probe tries whether the store honours conditions. Without them two servers would write one
// memory, and neither would know.
func (s *S3) probe(ctx context.Context) error {
	name := probes + rand.Text()
	defer s.Delete(context.WithoutCancel(ctx), name, objects.Any)
	first, err := s.Put(ctx, name, []byte("first"), objects.None)
	if err != nil {
		return err
	}
	const other = "00000000000000000000000000000000" // no object's version
	for _, c := range []struct{ was, header string }{
		{objects.None, "If-None-Match: *"},
		{other, "If-Match"},
	} {
		switch _, err := s.Put(ctx, name, []byte("second"), c.was); {
		case err == nil:
			return &ConditionError{s.core.EndpointURL().Host, c.header}
		case !errors.Is(err, objects.ErrChanged):
			return fmt.Errorf("%w (PUT with %s)", err, c.header)
		}
	}
	if _, err = s.Put(ctx, name, []byte("second"), first); err != nil {
		return fmt.Errorf("PUT with If-Match of the version that is there: %w", err)
	}
	// A store that takes no notice of a condition on DELETE has deleted the object now.
	err = s.remove(context.WithValue(ctx, conditionKey{}, other), name)
	_, lost := s.stat(ctx, name)
	s.deletes = refused(err) && lost == nil
	return nil
}

// A ConditionError says that a store takes no notice of a condition, so that two servers could
// write one memory.
type ConditionError struct{ Host, Header string }

func (e *ConditionError) Error() string {
	return fmt.Sprintf("the object store %s takes no notice of %s on PUT: two servers could write "+
		"one memory there; want a store with conditional writes", e.Host, e.Header)
}
