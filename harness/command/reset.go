package command

import (
	"context"
	"errors"
	"fmt"
	osexec "os/exec"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/load"
)

// checkResets looks whether the load's cache state can be brought about at a server that runs.
func (o *runOptions) checkResets(set map[string]bool) error {
	l := &o.file.Load
	if l.Cache == load.Restored && o.url != "" && o.resetCommand == "" && o.resetURL == "" {
		return usageError("%s begins with restored caches, and of the server at -url it is not "+
			"known how it forgets what it has in memory; say it with -reset or -reset-url", l.Name)
	}
	if o.resetURL != "" {
		base, err := checkURL(o.resetURL, o.remote)
		if err != nil {
			return fmt.Errorf("-reset-url: %w", err)
		}
		o.resetURL = base
	}
	if o.url != "" && !set["seed"] && !o.file.Has("seed.text") && l.Cache == load.Cold {
		l.Seeds.Text = uint64(time.Now().UnixMilli())
	}
	return nil
}

// reset is how the server is made to forget, or nil where nothing needs to be done: for cold caches
// new words are enough.
func (o *runOptions) reset(c *client.Client, s *target) func(context.Context) error {
	switch {
	case o.resetCommand != "":
		return func(ctx context.Context) error {
			out, err := osexec.CommandContext(ctx, "sh", "-c", o.resetCommand).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w: %s", o.resetCommand, err, oneLine(errors.New(string(out))))
			}
			return nil
		}
	case o.resetURL != "":
		return func(ctx context.Context) error { return c.Post(ctx, o.resetURL) }
	case o.file.Load.Cache == load.Restored:
		return func(ctx context.Context) error {
			c.Close()
			if err := s.restart(ctx); err != nil {
				return err
			}
			c.URL = s.system.URL
			return nil
		}
	}
	return nil
}
