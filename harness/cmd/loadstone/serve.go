package main

import (
	"context"
	"errors"

	"loadstone/server/daemon"
)

// serve is the server's own program under this command's name, so that one binary measures and is measured. It handles
// signals itself: it drains, as the program loadstone-server does.
func serve(ctx context.Context, e *env, args []string) error {
	err := daemon.Run(ctx, args, e.stdout, e.stderr)
	if _, ok := errors.AsType[*daemon.UsageError](err); ok {
		return usageError("%w", err)
	}
	return err
}
