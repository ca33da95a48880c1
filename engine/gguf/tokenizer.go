package gguf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// These are the token types of tokenizer.ggml.token_type.
const (
	tokenNormal      = 1
	tokenUnknown     = 2
	tokenControl     = 3
	tokenUserDefined = 4
	tokenByte        = 6
)

// vocabulary is the tokenizer part of a file's metadata.
type vocabulary struct {
	tokens []string
	types  []int32 // by token
	ids    ids
	bos    bool // the tokenizer puts the bos token in front of a text
	eos    bool // the tokenizer puts the eos token at the end of a text
}

// newVocabulary reads all of the vocabulary but bos, whose default depends on the kind of
// tokenizer.
func newVocabulary(m Metadata) (*vocabulary, error) {
	tokens, err := m.Strings("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	v := &vocabulary{tokens: tokens}
	if v.types, _ = m["tokenizer.ggml.token_type"].([]int32); len(v.types) != len(tokens) {
		return nil, fmt.Errorf("%d tokens, but %d token types", len(tokens), len(v.types))
	}
	if v.ids, err = specialIDs(m, len(tokens)); err != nil {
		return nil, err
	}
	if v.eos, err = m.Bool("tokenizer.ggml.add_eos_token", false); err != nil {
		return nil, err
	}
	return v, nil
}

// check refuses tokens that tokenizer.json cannot hold, because its vocabulary is a JSON object.
func (v *vocabulary) check() error {
	seen := make(map[string]int, len(v.tokens))
	for id, s := range v.tokens {
		if !utf8.ValidString(s) {
			return fmt.Errorf("token %d, %q, is not UTF-8", id, s)
		}
		if first, twice := seen[s]; twice {
			return fmt.Errorf("tokens %d and %d are both %q", first, id, s)
		}
		seen[s] = id
	}
	return nil
}

// object is a JSON object whose keys keep their order.
type object []field

type field struct {
	key   string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, f := range o {
		b.WriteByte("{,"[min(i, 1)])
		if err := enc.Encode(f.key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(f.value); err != nil {
			return nil, err
		}
	}
	if len(o) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// tokenizer makes tokenizer.json, in the format of Hugging Face's tokenizers library.
func tokenizer(m Metadata) (object, error) {
	v, err := newVocabulary(m)
	if err != nil {
		return nil, err
	}
	kind, err := m.Text("tokenizer.ggml.model")
	if err != nil {
		return nil, err
	}
	var stages object // normalizer, pre_tokenizer, decoder
	var model object
	switch kind {
	case "gpt2":
		stages, model, err = byteLevel(m, v)
	case "llama":
		stages, model, err = sentencePiece(m, v)
	default:
		err = fmt.Errorf("tokenizer.ggml.model %q cannot be imported; gpt2 and llama can", kind)
	}
	if err != nil {
		return nil, err
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	o := object{{"version", "1.0"}, {"truncation", nil}, {"padding", nil},
		{"added_tokens", v.added()}}
	o = append(o, stages...)
	return append(o, field{"post_processor", v.postProcessor()}, field{"model", model}), nil
}

// added lists the tokens that are cut out of a text before it is tokenised: control tokens, and
// tokens that the model's makers defined by hand.
func (v *vocabulary) added() []object {
	list := []object{}
	for id, t := range v.types {
		if t != tokenControl && t != tokenUnknown && t != tokenUserDefined {
			continue
		}
		list = append(list, object{{"id", id}, {"content", v.tokens[id]}, {"single_word", false},
			{"lstrip", false},
			{"rstrip", false}, {"normalized", false}, {"special", t != tokenUserDefined}})
	}
	return list
}

// postProcessor makes the post-processor that puts bos and eos around a text; nil if there is
// nothing to put.
func (v *vocabulary) postProcessor() any {
	one := []object{{{"Sequence", object{{"id", "A"}, {"type_id", 0}}}}}
	two := []object{{{"Sequence", object{{"id", "B"}, {"type_id", 1}}}}}
	special := object{}
	around := func(id int, before bool) {
		name := v.tokens[id]
		piece := func(typ int) []object {
			return []object{{{"SpecialToken", object{{"id", name}, {"type_id", typ}}}}}
		}
		special = append(special, field{name, object{{"id", name}, {"ids", []int{id}},
			{"tokens", []string{name}}}})
		if before {
			one, two = append(piece(0), one...), append(piece(1), two...)
		} else {
			one, two = append(one, piece(0)...), append(two, piece(1)...)
		}
	}
	if v.bos && v.ids.bos >= 0 {
		around(v.ids.bos, true)
	}
	if v.eos && v.ids.eos >= 0 {
		around(v.ids.eos, false)
	}
	if len(special) == 0 {
		return nil
	}
	return object{{"type", "TemplateProcessing"}, {"single", one}, {"pair", append(one, two...)},
		{"special_tokens", special}}
}

// tokenizerConfig makes tokenizer_config.json. It names the general tokenizer class, which uses
// tokenizer.json as it is; transformers' classes for single models rebuild parts of it.
func tokenizerConfig(m Metadata, context int) (object, error) {
	v, err := newVocabulary(m)
	if err != nil {
		return nil, err
	}
	o := object{{"tokenizer_class", "PreTrainedTokenizerFast"},
		{"clean_up_tokenization_spaces", false},
		{"model_max_length", context}}
	for _, t := range []struct {
		key string
		id  int
	}{{"bos_token", v.ids.bos}, {"eos_token", v.ids.eos}, {"unk_token", v.ids.unk},
		{"pad_token", v.ids.pad}} {
		if t.id >= 0 {
			o = append(o, field{t.key, v.tokens[t.id]})
		}
	}
	return o, nil
}

// vocab is the model's vocabulary, in the order of ids.
func (v *vocabulary) vocab() object {
	o := make(object, len(v.tokens))
	for id, s := range v.tokens {
		o[id] = field{s, id}
	}
	return o
}

// byteLevel makes a tokenizer of the GPT-2 kind: it cuts text up by a pattern, writes its bytes as
// letters and merges them.
func byteLevel(m Metadata, v *vocabulary) (stages, model object, err error) {
	name := "gpt-2"
	if m.Has("tokenizer.ggml.pre") {
		if name, err = m.Text("tokenizer.ggml.pre"); err != nil {
			return nil, nil, err
		}
	}
	pre, ok := preTokenizers[name]
	if !ok {
		return nil, nil, fmt.Errorf("tokenizer.ggml.pre %q cannot be imported; %s can", name,
			strings.Join(slices.Sorted(maps.Keys(preTokenizers)), ", "))
	}
	if v.bos, err = m.Bool("tokenizer.ggml.add_bos_token", pre.bos); err != nil {
		return nil, nil, err
	}
	lines, err := m.Strings("tokenizer.ggml.merges")
	if err != nil {
		return nil, nil, err
	}
	merges := make([][2]string, len(lines))
	for i, line := range lines {
		left, right, ok := strings.Cut(line, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return nil, nil, fmt.Errorf("merge %d, %q, is not two tokens with a space between them",
				i, line)
		}
		merges[i] = [2]string{left, right}
	}
	var normalizer any
	if pre.nfc {
		normalizer = object{{"type", "NFC"}}
	}
	stages = object{{"normalizer", normalizer}, {"pre_tokenizer", pre.stage()},
		{"decoder", object{{"type", "ByteLevel"}, {"add_prefix_space", true},
			{"trim_offsets", true}, {"use_regex", true}}}}
	return stages, bpe(v, merges, nil, false, pre.ignoreMerges), nil
}

// A preTokenizer says how a byte-level tokenizer cuts up a text.
type preTokenizer struct {
	pattern      string // an expression; "" for GPT-2's, which ByteLevel has built in
	digits       bool   // digits are cut off one by one before
	nfc          bool   // the text is normalised
	ignoreMerges bool   // a piece that is a token is that token
	bos          bool   // a text begins with bos where the file does not say
}

// preTokenizers are those of tokenizer.ggml.pre, as the models' own tokenizer.json have them.
var preTokenizers = map[string]preTokenizer{
	"gpt-2":            {},
	"default":          {},
	"smollm":           {digits: true},
	"llama-bpe":        {pattern: words + `|\p{N}{1,3}` + marks, ignoreMerges: true, bos: true},
	"llama3":           {pattern: words + `|\p{N}{1,3}` + marks, ignoreMerges: true, bos: true},
	"llama-v3":         {pattern: words + `|\p{N}{1,3}` + marks, ignoreMerges: true, bos: true},
	"smaug-bpe":        {pattern: words + `|\p{N}{1,3}` + marks, ignoreMerges: true},
	"qwen2":            {pattern: words + `|\p{N}` + marks, nfc: true},
	"deepseek-r1-qwen": {pattern: words + `|\p{N}` + marks, nfc: true},
	"tekken": {
		pattern:      cased + `|` + casedEnd + `|\p{N}` + slashes,
		ignoreMerges: true, bos: true,
	},
	"gpt-4o": {
		pattern: cased + contraction + `?|` + casedEnd + contraction + `?|\p{N}{1,3}` + slashes,
	},
}

// Parts of the expressions: words and what follows them, and words that are cut where small letters
// end and capital ones begin.
const (
	contraction = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	words       = contraction + `|[^\r\n\p{L}\p{N}]?\p{L}+`
	marks       = `| ?[^\s\p{L}\p{N}]+[\r\n]*` + spaces
	slashes     = `| ?[^\s\p{L}\p{N}]+[\r\n/]*` + spaces
	spaces      = `|\s*[\r\n]+|\s+(?!\S)|\s+`

	capitals = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
	smalls   = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
	cased    = `[^\r\n\p{L}\p{N}]?` + capitals + `*` + smalls + `+`
	casedEnd = `[^\r\n\p{L}\p{N}]?` + capitals + `+` + smalls + `*`
)

// stage is the pre_tokenizer of tokenizer.json.
func (p preTokenizer) stage() object {
	letters := object{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true},
		{"use_regex", p.pattern == ""}}
	switch {
	case p.digits:
		return sequence("pretokenizers",
			object{{"type", "Digits"}, {"individual_digits", true}}, letters)
	case p.pattern != "":
		return sequence("pretokenizers", object{{"type", "Split"},
			{"pattern", object{{"Regex", p.pattern}}},
			{"behavior", "Isolated"}, {"invert", false}}, letters)
	}
	return letters
}

// sequence makes a component that applies others one after the other.
func sequence(key string, parts ...object) object {
	return object{{"type", "Sequence"}, {key, parts}}
}

// bpe makes the model of both kinds. With bytes, characters outside the vocabulary become <0xNN>
// tokens.
func bpe(v *vocabulary, merges [][2]string, unk any, bytes, ignoreMerges bool) object {
	return object{{"type", "BPE"}, {"dropout", nil}, {"unk_token", unk},
		{"continuing_subword_prefix", nil},
		{"end_of_word_suffix", nil}, {"fuse_unk", bytes}, {"byte_fallback", bytes},
		{"ignore_merges", ignoreMerges},
		{"vocab", v.vocab()}, {"merges", merges}}
}
