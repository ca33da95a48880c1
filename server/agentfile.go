package server

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"loadstone/engine"
	"loadstone/server/internal/generate"
)

// exportAgent serves GET /v1/agents/{id}/export: the agent's memory as a file, which its principal
// can import, or with ?for=NAME the principal of that name and no other. Whether there is one of
// that name is not said.
func (s *Server) exportAgent(w *response, r *http.Request) error {
	b, err := s.loaded()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	p := b.of(w)
	export := p.Export
	if names := r.URL.Query()["for"]; len(names) > 0 {
		name := names[0]
		if len(names) > 1 {
			return generate.Invalid("for", "for: %d principals; want one", len(names))
		}
		if !isName(name) {
			return generate.Invalid("for", "for: %q; want the name of a principal", name)
		}
		if name == defaultPrincipal {
			name = ""
		}
		export = func(agent string, w io.Writer) error { return p.ExportFor(name, agent, w) }
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(id)+`.safetensors"`)
	out := &download{w: w}
	held := bufio.NewWriterSize(out, exportHeld)
	if err = export(id, held); err == nil {
		err = held.Flush()
	}
	switch {
	case err == nil:
		return nil
	case w.status == 0:
		w.Header().Del("Content-Disposition")
		if errors.Is(err, engine.ErrCorrupt) { // the file is the server's, and no mistake of the client's
			return &apiError{status: 500, kind: kindServer, code: "memory_corrupt", never: true,
				message: err.Error() + ". The file is set aside: the agent goes on with what the " +
					"server has in RAM, and computes the rest anew"}
		}
		return err
	}
	// Half of a file is out. Only a broken connection keeps it from passing for a whole one.
	w.outcome = statusClientClosed
	if out.err == nil {
		w.outcome = http.StatusInternalServerError
		s.logOf(w).Error("request failed", "error", err)
	}
	panic(http.ErrAbortHandler)
}

// exportHeld is how many bytes of an export are held back before the first is sent, so that a
// memory which cannot be read has an error for its answer, unless it is larger and its beginning is
// sound.
const exportHeld = 1 << 20

// A download is the body of an answer. It knows whether the client has failed to take it.
type download struct {
	w   io.Writer
	err error
}

func (d *download) Write(b []byte) (n int, err error) {
	n, d.err = d.w.Write(b)
	return n, d.err
}

// fileName returns the agent's name, or another where the agent's is not safe in a header.
func fileName(agent string) string {
	if !isName(agent) {
		return "agent"
	}
	return agent
}

// importAgent serves POST /v1/agents/import: a file that export made replaces what there is of its
// agent. It is read as it comes and never as a whole, and the engine bounds it by its quota before
// it believes a byte of it.
func (s *Server) importAgent(w *response, r *http.Request) error {
	b, err := s.accepting()
	if err != nil {
		return err
	}
	m, err := b.of(w).Import(&upload{r.Body, w})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.agentInfo(m))
}

// An upload is a body that may take any time, as long as bytes arrive.
type upload struct {
	body io.Reader
	w    *response
}

func (u *upload) Read(b []byte) (int, error) {
	// This fails for a test's recorder, which has no deadline.
	u.w.control.SetReadDeadline(time.Now().Add(bodyTimeout))
	n, err := u.body.Read(b)
	if err != nil && err != io.EOF && !os.IsTimeout(err) {
		err = bodyError(err)
	}
	return n, err
}
