package record

import (
	"bytes"
	"encoding/json"
)

// Asked is what a run's requests can be made again from: the load, as it was put on the server, and
// what decides how many words a prompt of so many tokens has.
type Asked struct {
	// Form names the rules by which requests are made of it.
	Form string          `json:"form"`
	Load json.RawMessage `json:"load"` // see load.Load.Drawn; its seeds are those of all runs

	TemplateTokens float64 `json:"template_tokens"` // of a first prompt without a word
	WordTokens     float64 `json:"word_tokens"`     // of each word

	// Parts is in how many parts, see load.Share, several processes put the load on the server; 0: it
	// was not split. Part is the one, counted from 1, that the requests are of; 0: of all.
	Parts int `json:"parts,omitempty"`
	Part  int `json:"part,omitempty"`
}

// AskedForm are the rules of this version. Whoever changes what a load asks for equal seeds, such
// as the made-up words, gives them another number: results of earlier versions are then not held to
// rules that they did not have.
const AskedForm = "loadstone-requests/1"

// Equal reports whether both are the same. Either may be nil.
func (a *Asked) Equal(b *Asked) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Form == b.Form && bytes.Equal(a.Load, b.Load) && a.TemplateTokens == b.TemplateTokens &&
		a.WordTokens == b.WordTokens && a.Parts == b.Parts && a.Part == b.Part
}
