package command

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"loadstone/engine/catalog"
	"loadstone/engine/tokenizer"
)

// tokenizerFlag declares the flag -tokenizer.
func (o *targetOptions) tokenizerFlag(f *flagSet) {
	f.Func("tokenizer", "`folder` of the model, or its tokenizer.json: the tokens that the server "+
		"claims of its answers are held to it; default: that of a server that is started here, else "+
		"the server's own /tokenize",
		func(path string) error {
			folder := path
			if filepath.Base(path) == "tokenizer.json" {
				folder = filepath.Dir(path)
			}
			count, err := tokensBy(os.DirFS(folder))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			o.tokens = count
			return nil
		})
}

// tokensBy counts the tokens of texts by the tokenizer of a model's folder.
func tokensBy(folder fs.FS) (func(text string) (int, error), error) {
	m, err := tokenizer.Load(folder)
	if err != nil {
		return nil, err
	}
	return func(text string) (int, error) { return len(m.Encode(text, false, 0)), nil }, nil
}

// tokensOf is tokensBy for a model that is served here. Its tokenizer is only read where a count is
// in doubt.
func tokensOf(model catalog.Source) func(text string) (int, error) {
	load := sync.OnceValues(func() (func(string) (int, error), error) { return tokensBy(model.FS) })
	return func(text string) (int, error) {
		count, err := load()
		if err != nil {
			return 0, err
		}
		return count(text)
	}
}
