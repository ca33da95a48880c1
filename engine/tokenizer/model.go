package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"loadstone/engine/internal/modelfile"
)

// Model is the text side of a model: its tokenizer and its chat template. It is safe for concurrent
// use.
type Model struct {
	tokenizer *tokenizer
	template  *template // nil if the model has none
	stops     []int32   // ascending
}

// Load reads the text side of a Hugging Face folder: tokenizer.json, which must exist, and, as far
// as they exist, special_tokens_map.json, tokenizer_config.json, chat_template.jinja (or
// chat_template.json), config.json and generation_config.json. It refuses a tokenizer that it
// cannot reproduce exactly.
func Load(fsys fs.FS) (*Model, error) {
	data, err := modelfile.Read(fsys, "tokenizer.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noTokenizer(fsys, err)
	} else if err != nil {
		return nil, err
	}
	m := new(Model)
	if m.tokenizer, err = newTokenizer(data); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	s, err := readSettings(fsys)
	if err != nil {
		return nil, err
	}
	source, file := s.template, s.templateFile
	if _, ok := m.tokenizer.added["<start_of_turn>"]; ok && source == "" {
		source, file = gemmaTemplate, "the built-in Gemma template"
	}
	if source != "" {
		if m.template, err = newTemplate(source, s.specials(m.tokenizer)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	m.setStops(s)
	return m, nil
}

// noTokenizer is the error for a folder without tokenizer.json. Those of other tokenizers can be
// turned into one.
func noTokenizer(fsys fs.FS, cause error) error {
	const missing = "tokenizer.json is not there"
	for _, x := range []struct{ name, what string }{
		{"tokenizer.model", "SentencePiece's file"},
		{"tekken.json", "Mistral's own file"},
		{"vocab.json", "the form before tokenizer.json"},
		{"vocab.txt", "WordPiece's vocabulary"},
	} {
		if _, err := fs.Stat(fsys, x.name); err == nil {
			return fmt.Errorf(missing+"; %s is %s, which is not read: get tokenizer.json from the "+
				"model's publisher, or make it with Transformers "+
				"(AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR))", x.name, x.what)
		}
	}
	return fmt.Errorf(missing+"; get it from the model's publisher: %w", cause)
}

// HasTemplate reports whether the model has a chat template. Without one it can complete texts, and
// EncodeChat fails.
func (m *Model) HasTemplate() bool { return m.template != nil }

// ChatTemplate returns the source of the chat template, "" where the model has none.
func (m *Model) ChatTemplate() string {
	if m.template == nil {
		return ""
	}
	return m.template.source
}

// Encode returns the ids of s. With special it does the same as encode of Hugging Face tokenizers:
// control tokens that are written out in s are found, and the tokens that begin (or end) every text
// are added. Without special, s is plain text, whatever it contains.
//
// A text that has more than limit ids, unless limit is 0, is not encoded to its end: what Encode
// returns then is longer than limit and of no other use.
func (m *Model) Encode(s string, special bool, limit int) []int32 {
	if !special {
		return m.tokenizer.encode(nil, s, guard{plain: true}, true, limit)
	}
	ids := append([]int32(nil), m.tokenizer.before...)
	ids = m.tokenizer.encode(ids, s, guard{}, true, limit)
	return append(ids, m.tokenizer.after...)
}

// AppendToken appends the bytes that a token stands for. They may be a part of a UTF-8 character.
// It appends nothing for control tokens and for ids outside the vocabulary.
func (m *Model) AppendToken(dst []byte, id int32) []byte {
	if id < 0 || int(id) >= len(m.tokenizer.bytes) {
		return dst
	}
	return append(dst, m.tokenizer.bytes[id]...)
}

// AppendText is AppendToken for people: control tokens have the text with which they are written.
func (m *Model) AppendText(dst []byte, id int32) []byte {
	if text, ok := m.tokenizer.written[id]; ok {
		return append(dst, text...)
	}
	return m.AppendToken(dst, id)
}

// StopTokens returns the ids that end an answer, in ascending order: the model's end-of-sequence
// ids, and the control token that the template puts right behind an answer, such as <end_of_turn>
// or <|im_end|>.
func (m *Model) StopTokens() []int32 { return slices.Clone(m.stops) }

// setStops collects the ids that end an answer.
func (m *Model) setStops(s settings) {
	stops := slices.Clone(s.eos)
	if id, ok := m.tokenizer.id(s.eosToken); ok {
		stops = append(stops, id)
	}
	if id, ok := m.endOfAnswer(); ok {
		stops = append(stops, id)
	}
	slices.Sort(stops)
	m.stops = slices.Compact(stops)
}

// settings is the content of the small files of a model folder, as far as it concerns text.
type settings struct {
	template, templateFile       string
	bosToken, eosToken, unkToken string
	padToken                     string
	bosID                        int32   // -1 if no file gives it
	eos                          []int32 // the ids that end a sequence
}

// readSettings reads the small files, as far as they exist.
func readSettings(fsys fs.FS) (settings, error) {
	s := settings{bosID: -1}
	var tok struct {
		ChatTemplate templateJSON `json:"chat_template"`
		BOS          tokenJSON    `json:"bos_token"`
		EOS          tokenJSON    `json:"eos_token"`
		UNK          tokenJSON    `json:"unk_token"`
		PAD          tokenJSON    `json:"pad_token"`
	}
	// tokenizer_config.json repeats special_tokens_map.json and takes precedence, so it is read
	// last.
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		if err := readJSON(fsys, name, &tok); err != nil {
			return s, err
		}
	}
	s.bosToken, s.eosToken = string(tok.BOS), string(tok.EOS)
	s.unkToken, s.padToken = string(tok.UNK), string(tok.PAD)
	s.template, s.templateFile = string(tok.ChatTemplate), "tokenizer_config.json: chat_template"
	if s.template == "" {
		// Folders of multimodal models have their template here, for the processor of images.
		var processor struct {
			ChatTemplate templateJSON `json:"chat_template"`
		}
		if err := readJSON(fsys, "chat_template.json", &processor); err != nil {
			return s, err
		}
		s.template, s.templateFile = string(processor.ChatTemplate), "chat_template.json"
	}
	switch data, err := modelfile.Read(fsys, "chat_template.jinja"); {
	case err == nil:
		s.template, s.templateFile = string(data), "chat_template.jinja"
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	for _, name := range []string{"config.json", "generation_config.json"} {
		var c struct {
			EOS  idsJSON `json:"eos_token_id"`
			BOS  idsJSON `json:"bos_token_id"`
			Text struct {
				EOS idsJSON `json:"eos_token_id"`
				BOS idsJSON `json:"bos_token_id"`
			} `json:"text_config"`
		}
		if err := readJSON(fsys, name, &c); err != nil {
			return s, err
		}
		s.eos = slices.Concat(s.eos, c.EOS, c.Text.EOS)
		for _, id := range slices.Concat(c.Text.BOS, c.BOS) {
			s.bosID = id
		}
	}
	return s, nil
}

// specials returns the tokenizer's variables of a template. A token that the model does not have is
// undefined in a template, as it is in transformers.
func (s settings) specials(t *tokenizer) map[string]string {
	bos := s.bosToken
	if bos == "" {
		bos = t.controlText(s.bosID)
	}
	eos := s.eosToken
	for _, id := range s.eos {
		if eos == "" {
			eos = t.controlText(id)
		}
	}
	tokens := map[string]string{
		"bos_token": bos, "eos_token": eos, "unk_token": s.unkToken, "pad_token": s.padToken,
	}
	maps.DeleteFunc(tokens, func(_, token string) bool { return token == "" })
	return tokens
}

// readJSON decodes a file into v. A missing file leaves v as it is.
func readJSON(fsys fs.FS, name string, v any) error {
	data, err := modelfile.Read(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// tokenJSON is the text of a token, which a file gives as a string or as an object with content.
type tokenJSON string

func (t *tokenJSON) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var o struct {
			Content string `json:"content"`
		}
		err := json.Unmarshal(data, &o)
		*t = tokenJSON(o.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(t))
}

// templateJSON is a chat template. A file may give a list of named templates instead, of which the
// one named "default" is taken.
type templateJSON string

func (t *templateJSON) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var list []struct{ Name, Template string }
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		for _, named := range list {
			if named.Name == "default" {
				*t = templateJSON(named.Template)
			}
		}
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// idsJSON is a list of ids, which a file gives as one id, a list, or null.
type idsJSON []int32

func (ids *idsJSON) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]int32)(ids))
	}
	var id *int32
	if err := json.Unmarshal(data, &id); err != nil || id == nil {
		return err
	}
	*ids = idsJSON{*id}
	return nil
}
