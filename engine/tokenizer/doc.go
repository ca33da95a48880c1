// Package tokenizer turns chats into token ids and token ids into bytes. It reads tokenizer.json of
// Hugging Face's tokenizers library and the Jinja chat template that comes with a model.
//
// The byte-pair encoder is our own. github.com/sugarme/tokenizer v0.3.0 is the one Go library that
// reads tokenizer.json. On 100 kB of English with SmolLM2's file it differs from Hugging Face
// tokenizers from the 7th token on (24332 tokens instead of 24377), it has no byte fallback (which
// Gemma needs), and it runs at 0.35 MB/s. Regular expressions of pre-tokenizers for which there is
// no scanner here are left to github.com/dlclark/regexp2, which has look-ahead. Templates are
// rendered by package internal/jinja, which says why there is one.
//
// # Control tokens
//
// Text of a user stays text. In EncodeChat only the template's own text makes control tokens: a
// message that contains "<|im_end|>" is encoded as those ten characters, so nobody can end a
// message, or begin another one, from inside a message. Chats without such literals get the same
// ids as from transformers' apply_chat_template. The template itself sees messages as they are: the
// renderer keeps the origin of each character beside the text.
//
// # Models without a template
//
// A model that has Gemma's control tokens but no template of its own (the base model) gets Gemma's
// chat format, with the system message in front of the first user message. Any other model without
// a template can be loaded, but EncodeChat returns an error.
package tokenizer
