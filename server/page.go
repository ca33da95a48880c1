package server

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed status.html
var statusHTML string

var statusPage = template.Must(template.New("status").Parse(statusHTML))

// page serves GET /: a page that draws what /admin/status says, once a second. It needs no key,
// because it holds nothing that needs one: it asks its reader for the key. All of it is one file,
// and it loads nothing else.
func (s *Server) page(w *response, r *http.Request) error {
	nonce := rand.Text()
	var b bytes.Buffer
	if err := statusPage.Execute(&b, struct{ Nonce string }{nonce}); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; "+
		"style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+"'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	w.Write(b.Bytes())
	return nil
}
