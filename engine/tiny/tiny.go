// Package tiny embeds the default model: a Gemma 3 network of a quarter of a million random
// weights, with a tokenizer and a chat template in Gemma's form, which make.py made. It runs
// everywhere and at once, with nothing to install.
//
// Its answers make no sense. They are pieces of English words that depend on every token of the
// context, so that requests that were mixed up, or a cache that was read at the wrong place, show
// in the text. It never ends an answer by itself: greedy answers run to the limit of tokens.
package tiny

import (
	"embed"
	"io/fs"
)

//go:embed model
var files embed.FS

// FS is the content of the model's folder, in Hugging Face's form.
var FS fs.FS = modelFolder()

func modelFolder() fs.FS {
	f, err := fs.Sub(files, "model")
	if err != nil {
		panic(err) // Sub fails only for an invalid path
	}
	return f
}
