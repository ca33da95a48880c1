// Package tokenizer turns chats into token ids and token ids into bytes: tokenizer.json of Hugging Face tokenizers, and the
// Jinja chat template that comes with the model.
//
// The byte-pair encoder is our own. github.com/sugarme/tokenizer v0.3.0 is the one Go library that reads tokenizer.json;
// on 100 kB of English with SmolLM2's file it differs from Hugging Face tokenizers from the 7th token on (24332 tokens
// instead of 24377), knows no byte fallback (Gemma), and runs at 0.35 MB/s. The regular expressions of pre-tokenizers
// that no scanner here covers are github.com/dlclark/regexp2's (look-ahead), and templates are
// github.com/nikolalohinski/gonja's with the differences to Python's Jinja mended in template.go.
//
// # Control tokens
//
// What a user writes stays text. EncodeChat lets only the template's own text make control tokens: a message that
// contains "<|im_end|>" is encoded as those ten characters, so no agent can end its turn, or open another one's, from
// inside a message. Chats without such literals get the ids of transformers' apply_chat_template.
//
// # Models without a template
//
// A model that has Gemma's turn tokens and no template of its own (the base model) gets Gemma's turn format, the system
// message in front of the first user message. Any other model without a template can be loaded, and EncodeChat says so.
package tokenizer
