package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/generate"
)

// headerDurable of a request, with the value wait, holds the end of the answer back until the disk
// has the turn, synced, so that not even a crash of the machine can take it. Every request of an
// agent that was created or pinned as durable does so. The header of the same name in a whole
// answer, and the trailer in a stream, says what came: saved, or failed and a reason. An answer
// that did not ask for it has the header where saves fail at present.
const headerDurable = "X-Durable"

// defaultDurableWait is Config.DurableWait's.
const defaultDurableWait = 10 * time.Second

// durable reads the request's header. agents are those of the caller.
func durable(r *http.Request, p *generate.Params, agents engine.Principal) error {
	switch v := r.Header.Get(headerDurable); {
	case v == "":
		p.Durable = agents.Durable(p.Agent)
	case !strings.EqualFold(v, "wait"):
		return generate.Invalid(headerDurable, "%s: %q; want wait, or no such header",
			headerDurable, v)
	case p.Agent == "":
		return generate.Invalid(headerDurable, "%s: the request names no agent and leaves nothing "+
			"to save; name one with X-Agent-ID", headerDurable)
	default:
		p.Durable = true
	}
	return nil
}

// waitDurable waits until the turn of an answer that is complete is on disk, and returns the value
// of the header. It is "" where the request did not ask for that. The answer is good in any case:
// it has been made, and it is only less safe than was asked for.
func (s *Server) waitDurable(w *response, g *generate.Generation) (string, error) {
	if !g.Params.Durable {
		return "", nil
	}
	wait := s.cfg.DurableWait
	err := g.Saved(wait)
	switch {
	case err == nil:
		return "saved", nil
	case errors.Is(err, context.Canceled):
		return "", err // the client is gone
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("failed: not on disk within %v", wait), nil
	}
	reason := engine.SaveFailure(err)
	level, message := slog.LevelError, "a turn that was to be on disk is not"
	if errors.Is(err, engine.ErrSuperseded) {
		level, message = slog.LevelInfo, "a turn was not saved, because its agent was deleted or "+
			"imported before it was on disk"
	}
	s.logOf(w).Log(context.Background(), level, message, "agent", g.Params.Agent, "reason", reason,
		"error", err)
	return "failed: " + reason, nil
}

// setDurable sets the header of a whole answer, or the trailer of a stream, which has announced it.
func setDurable(h http.Header, saved string) {
	if saved != "" {
		h.Set(headerDurable, saved)
	}
}

// noteDisk says in the head of an agent's answer that saves fail at present.
func noteDisk(h http.Header, p *generate.Params, e *engine.Engine) {
	if p.Agent == "" || p.Durable {
		return
	}
	switch e.Disk() {
	case engine.DiskFull:
		h.Set(headerDurable, "failed: disk full")
	case engine.DiskFailing:
		h.Set(headerDurable, "failed: io")
	}
}
