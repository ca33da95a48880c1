package command

import (
	"context"
	"errors"

	"loadstone/internal/otlp"
	"loadstone/server/service"
)

// serve runs the server's own program under this program's name, so that one binary measures and is
// measured. It handles signals itself: it drains, as the program loadstone-server does.
func serve(ctx context.Context, e *env, args []string) error {
	program := service.Program{Export: otlp.ServerSpans}
	err := program.Run(ctx, args, e.stdout, e.stderr)
	if _, ok := errors.AsType[*service.UsageError](err); ok {
		return usageError("%w", err)
	}
	return err
}
