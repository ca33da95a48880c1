// Package gguf reads GGUF files, versions 2 and 3, and turns them into Hugging Face checkpoint
// folders.
//
// A GGUF file holds one model: a header, a dictionary of metadata, a table of tensors and their
// data. Open reads all but the data and checks it against the size of the file. A wrong count,
// length or offset is therefore an error that names its byte and the key or tensor, found before
// any memory is allocated for it. Import writes the files that transformers, MLX and this program's
// own models load: config.json, model.safetensors, tokenizer.json and their companions.
//
// The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
package gguf
