package server

import (
	"math"
	"net/http"
	"unicode/utf8"

	"loadstone/server/internal/generate"
	"loadstone/server/internal/openai"
)

// tokenize serves POST /tokenize: the ids of a text, or of a chat as its prompt has them.
func (s *Server) tokenize(w *response, r *http.Request) error {
	b, err := s.accepting()
	if err != nil {
		return err
	}
	body := new(openai.TokenizeRequest)
	ids, err := s.promptOf(b, w, r, body)
	if err != nil {
		return err
	}
	if ids == nil {
		ids = b.generator.Tokens(body.Text())
	}
	answer := openai.Tokens{Tokens: ids, Count: len(ids), MaxModelLen: b.engine.Longest()}
	if len(ids) == 0 {
		answer.Tokens = []int32{}
	}
	if body.WithPieces {
		answer.Tokens = b.piecesOf(ids)
	}
	if body.TokenStrings {
		for _, id := range ids {
			answer.Strings = append(answer.Strings, string(b.generator.Piece(id)))
		}
	}
	return writeJSON(w, http.StatusOK, answer)
}

// piecesOf returns the tokens with their texts, or with their bytes where those are not text.
func (b *backend) piecesOf(ids []int32) (pieces []openai.Piece) {
	for _, id := range ids {
		text := b.generator.Piece(id)
		piece := openai.Piece{ID: id, Piece: string(text)}
		if !utf8.Valid(text) {
			list := []int{}
			for _, c := range text {
				list = append(list, int(c))
			}
			piece.Piece = list
		}
		pieces = append(pieces, piece)
	}
	return pieces
}

// promptOf reads a body and returns the ids of its conversation, nil where it has a text.
func (s *Server) promptOf(
	b *backend, w *response, r *http.Request, body *openai.TokenizeRequest,
) ([]int32, error) {
	if err := readBody(w, r, body); err != nil {
		return nil, err
	}
	agent, err := s.agentOf(r, body)
	if err != nil {
		return nil, err
	}
	p, err := body.ValidatePrompt()
	if err != nil || p == nil {
		return nil, err
	}
	p.Principal, p.Agent = w.caller.principal, agent
	return b.generator.Encode(p)
}

// detokenize serves POST /detokenize: the text of ids.
func (s *Server) detokenize(w *response, r *http.Request) error {
	b, err := s.accepting()
	if err != nil {
		return err
	}
	body := new(openai.DetokenizeRequest)
	if err := readBody(w, r, body); err != nil {
		return err
	}
	if body.Model != "" {
		if err := s.checkModel(body.Model); err != nil {
			return err
		}
	}
	if body.Tokens == nil {
		return generate.Invalid("tokens", "tokens: missing")
	}
	var ids []int32
	for _, id := range *body.Tokens {
		ids = append(ids, int32(max(min(id, math.MaxInt32), -1)))
	}
	text, err := b.generator.TextOf(ids)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, openai.Detokenized{Content: text, Prompt: text})
}

// applyTemplate serves POST /apply-template: the prompt of a chat as text.
func (s *Server) applyTemplate(w *response, r *http.Request) error {
	b, err := s.accepting()
	if err != nil {
		return err
	}
	body := new(openai.TokenizeRequest)
	ids, err := s.promptOf(b, w, r, body)
	if err != nil {
		return err
	}
	if ids == nil {
		return generate.Invalid("messages", "messages: missing")
	}
	text, err := b.generator.TextOf(ids)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, openai.Template{Prompt: text})
}
