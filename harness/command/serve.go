package command

import (
	"context"
	"errors"

	"loadstone/internal/broker"
	"loadstone/internal/buckets"
	"loadstone/internal/objects"
	"loadstone/internal/otlp"
	"loadstone/server/service"
)

// serve runs the server's own program under this program's name, so that one binary measures and is
// measured. It handles signals itself: it drains, as the program loadstone-server does.
func serve(ctx context.Context, e *env, args []string) error {
	program := service.Program{Export: otlp.ServerSpans, Store: openStore}
	err := program.Run(ctx, args, e.stdout, e.stderr)
	if _, ok := errors.AsType[*service.UsageError](err); ok {
		return usageError("%w", err)
	}
	return err
}

// openStore opens an object store for the server. What is wrong with its address is the command
// line's fault, and what is wrong with the store is not.
func openStore(ctx context.Context, address string, a service.StoreAccess) (objects.Bucket, error) {
	b, err := buckets.Open(ctx, address, broker.Access{Creds: a.Creds, CA: a.CA, Plain: a.Plain})
	_, plain := errors.AsType[*buckets.PlainError](err)
	_, plainNATS := errors.AsType[*broker.PlainError](err)
	_, wrong := errors.AsType[*buckets.AddressError](err)
	switch {
	case plain, plainNATS:
		return nil, usageError("%w, or -agents-store-plain", err)
	case wrong:
		return nil, usageError("%w", err)
	case err != nil:
		return nil, err
	}
	return b, nil
}
