package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// tokenizerJSON is the part of tokenizer.json that this package uses. It leaves out truncation and
// padding on purpose: a server must not cut a prompt silently.
type tokenizerJSON struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *component   `json:"normalizer"`
	PreTokenizer  *component   `json:"pre_tokenizer"`
	PostProcessor *component   `json:"post_processor"`
	Decoder       *component   `json:"decoder"`
	Model         modelJSON    `json:"model"`
}

// parseTokenizer reads tokenizer.json and checks its model.
func parseTokenizer(data []byte) (*tokenizerJSON, error) {
	vocab, merges, rest, err := cutModel(data)
	j := new(tokenizerJSON)
	if err := json.Unmarshal(rest, j); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if err := j.Model.checkType(vocab); err != nil {
		return nil, err
	}
	j.Model.merges = mergeList{merges}
	if j.Model.vocab, err = readVocabulary(vocab); err != nil {
		return nil, err
	}
	return j, j.Model.check()
}

// modelJSON is the model of tokenizer.json, without its vocabulary and merges, which are read by
// hand.
type modelJSON struct {
	Type                    string  `json:"type"`
	Dropout                 float64 `json:"dropout"`
	UnkToken                string  `json:"unk_token"`
	ContinuingSubwordPrefix string  `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string  `json:"end_of_word_suffix"`
	FuseUnk                 bool    `json:"fuse_unk"`
	ByteFallback            bool    `json:"byte_fallback"`
	IgnoreMerges            bool    `json:"ignore_merges"`
	MaxInputCharsPerWord    int     `json:"max_input_chars_per_word"` // WordPiece's alone

	vocab  vocabulary
	merges mergeList
}

// checkType refuses other models than BPE. Files of early versions do not say the type; Unigram's
// vocabulary is a list, and WordPiece has a setting of its own.
func (j *modelJSON) checkType(vocab cursor) error {
	kind := j.Type
	switch {
	case kind != "":
	case len(vocab.data) > 0 && vocab.peek() == '[':
		kind = "Unigram"
	case j.MaxInputCharsPerWord != 0:
		kind = "WordPiece"
	default:
		kind = "BPE"
	}
	if kind != "BPE" {
		return fmt.Errorf("model type %q is not supported; BPE is", kind)
	}
	return nil
}

// check refuses models that this package cannot run exactly.
func (j *modelJSON) check() error {
	switch {
	case j.Dropout != 0:
		return fmt.Errorf("model dropout %g is not supported", j.Dropout)
	case j.ContinuingSubwordPrefix != "":
		return fmt.Errorf("model continuing_subword_prefix %q is not supported",
			j.ContinuingSubwordPrefix)
	case j.EndOfWordSuffix != "":
		return fmt.Errorf("model end_of_word_suffix %q is not supported", j.EndOfWordSuffix)
	case len(j.vocab.ids) == 0:
		return errors.New("model has no vocabulary")
	}
	for i, id := range j.vocab.ids {
		if id < 0 {
			return fmt.Errorf("token %q has the negative id %d", j.vocab.tokens[i], id)
		}
	}
	return nil
}

// component is any normalizer, pre-tokenizer, post-processor or decoder. It has every field that
// one of them may have.
type component struct {
	Type string `json:"type"`

	Normalizers   []component `json:"normalizers"`
	Pretokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`
	Decoders      []component `json:"decoders"`

	Pattern          patternJSON `json:"pattern"`
	Content          string      `json:"content"`
	Prepend          string      `json:"prepend"`
	StripLeft        bool        `json:"strip_left"`
	StripRight       bool        `json:"strip_right"`
	Behavior         string      `json:"behavior"`
	Invert           bool        `json:"invert"`
	IndividualDigits bool        `json:"individual_digits"`
	AddPrefixSpace   *bool       `json:"add_prefix_space"`
	UseRegex         *bool       `json:"use_regex"`
	Replacement      string      `json:"replacement"`
	PrependScheme    string      `json:"prepend_scheme"`
	Split            *bool       `json:"split"`

	Single        []templatePiece            `json:"single"`
	SpecialTokens map[string]templateSpecial `json:"special_tokens"`
}

// patternJSON is a literal or a regular expression.
type patternJSON struct {
	String *string
	Regex  *string
}

// templatePiece is one piece of a TemplateProcessing: a special token or the text.
type templatePiece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

// templateSpecial is a special token of a TemplateProcessing.
type templateSpecial struct {
	IDs []int32 `json:"ids"`
}

// orTrue is the value of a flag that defaults to true.
func orTrue(b *bool) bool { return b == nil || *b }
