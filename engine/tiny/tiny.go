// Package tiny holds the embedded default model: a Gemma 3 network of a quarter of a million random weights, with a
// tokenizer and a chat template in Gemma's form, made by make.py. It runs everywhere, at once, with nothing to install.
//
// It has nothing to say. Its answers are pieces of English words that depend on every token of the context, so that two
// requests that got mixed up, or a cache that was read at the wrong place, show in the text. It never ends an answer by
// itself: greedy answers run to the limit.
package tiny

import (
	"embed"
	"io/fs"
)

//go:embed model
var files embed.FS

// FS is the model's folder, in Hugging Face's form.
var FS fs.FS = sub()

func sub() fs.FS {
	f, err := fs.Sub(files, "model")
	if err != nil {
		panic(err) // only a path that is not valid makes Sub fail
	}
	return f
}
