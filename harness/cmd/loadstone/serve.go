package main

import (
	"context"

	"loadstone/server/daemon"
)

// serve is the server's own program under this command's name, so that one binary measures and is measured. It handles
// signals itself: it drains, as the program loadstone-server does.
func serve(ctx context.Context, e *env, args []string) error {
	return daemon.Run(ctx, args, e.stdout, e.stderr)
}
