package text

import (
	"encoding/json"
	"fmt"
	"strings"
)

// tokenizerJSON is what this package reads of tokenizer.json. Truncation and padding are left out on purpose: a server
// never cuts a prompt silently.
type tokenizerJSON struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *component   `json:"normalizer"`
	PreTokenizer  *component   `json:"pre_tokenizer"`
	PostProcessor *component   `json:"post_processor"`
	Decoder       *component   `json:"decoder"`
	Model         modelJSON    `json:"model"`
}

type modelJSON struct {
	Type                    string           `json:"type"`
	Dropout                 float64          `json:"dropout"`
	UnkToken                string           `json:"unk_token"`
	ContinuingSubwordPrefix string           `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string           `json:"end_of_word_suffix"`
	FuseUnk                 bool             `json:"fuse_unk"`
	ByteFallback            bool             `json:"byte_fallback"`
	IgnoreMerges            bool             `json:"ignore_merges"`
	Vocab                   map[string]int32 `json:"vocab"`
	Merges                  mergeList        `json:"merges"`
}

func (j *modelJSON) check() error {
	switch {
	case j.Type != "BPE" && j.Type != "":
		return fmt.Errorf("model type %q is not supported, only BPE is", j.Type)
	case j.Dropout != 0:
		return fmt.Errorf("model dropout %g is not supported", j.Dropout)
	case j.ContinuingSubwordPrefix != "":
		return fmt.Errorf("model continuing_subword_prefix %q is not supported", j.ContinuingSubwordPrefix)
	case j.EndOfWordSuffix != "":
		return fmt.Errorf("model end_of_word_suffix %q is not supported", j.EndOfWordSuffix)
	case len(j.Vocab) == 0:
		return fmt.Errorf("model has no vocabulary")
	}
	for token, id := range j.Vocab {
		if id < 0 {
			return fmt.Errorf("token %q has the negative id %d", token, id)
		}
	}
	return nil
}

// mergeList holds merges in order of rank. Files up to 2024 write "a b", later ones ["a","b"].
type mergeList [][2]string

func (m *mergeList) UnmarshalJSON(data []byte) error {
	var pairs [][2]string
	if err := json.Unmarshal(data, &pairs); err == nil {
		*m = pairs
		return nil
	}
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		return fmt.Errorf("merges are neither strings nor pairs of strings: %w", err)
	}
	pairs = make([][2]string, len(lines))
	for i, line := range lines {
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("merge %d: %q is not two tokens with a space between", i, line)
		}
		pairs[i] = [2]string{left, right}
	}
	*m = pairs
	return nil
}

// component is any normalizer, pre-tokenizer, post-processor or decoder: its type and every field one of them may have.
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

type patternJSON struct {
	String *string
	Regex  *string
}

type templatePiece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

type templateSpecial struct {
	IDs []int32 `json:"ids"`
}

// orTrue is a flag that defaults to true.
func orTrue(b *bool) bool { return b == nil || *b }
