// Package gguf reads GGUF files, versions 2 and 3, and turns them into Hugging Face checkpoint folders.
//
// A GGUF file is one model: a header, a dictionary of metadata, a table of tensors and their data. Open reads all but
// the data and checks it against the size of the file, so that a count, length or offset that lies is an error with the
// byte and the name where it stands, found before memory is spent on it. Import writes what transformers, MLX and this
// program's own models load: config.json, model.safetensors, tokenizer.json and their companions.
//
// The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
package gguf
