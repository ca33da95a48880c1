package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// CheckFolder looks for what often ails a folder that was downloaded, and names it: files that are
// Git LFS pointers, text files that begin with a byte order mark, weights in a form of quantization
// that is not known here, no tokenizer. Readers of the files would say something less clear. A folder
// that passes may still be refused by them.
func CheckFolder(fsys fs.FS) error {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return err
	}
	tokenizer := false
	for _, e := range entries {
		tokenizer = tokenizer || e.Name() == "tokenizer.json"
		switch path.Ext(e.Name()) {
		case ".json", ".jinja", ".safetensors", ".model":
			if err := checkBeginning(fsys, e.Name()); err != nil {
				return err
			}
		}
	}
	data, err := readSmall(fsys, configName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Open says so
	}
	if err != nil {
		return err
	}
	if err := checkQuantization(data); err != nil {
		return fmt.Errorf("%s: %w", configName, err)
	}
	if !tokenizer {
		return errors.New("tokenizer.json is not there; the folder must hold the model's tokenizer " +
			"in the form of Hugging Face's tokenizers (tokenizer.model alone will not do)")
	}
	return nil
}

// checkBeginning looks at the first bytes of a file.
func checkBeginning(fsys fs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return err
	}
	b := make([]byte, 64)
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	b = b[:n]
	switch {
	case bytes.HasPrefix(b, []byte("version https://git-lfs.github.com/")):
		return fmt.Errorf("%s is a Git LFS pointer and not the file itself; "+
			"run git lfs pull in the folder, or download the file", name)
	case path.Ext(name) == ".safetensors":
		return nil
	case bytes.HasPrefix(b, []byte("\uFEFF")):
		return fmt.Errorf("%s begins with a byte order mark (EF BB BF); save it as UTF-8 without one",
			name)
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return fmt.Errorf("%s is UTF-16; save it as UTF-8", name)
	}
	return nil
}

// checkQuantization refuses the quantization of other libraries, which config.json names.
func checkQuantization(data []byte) error {
	type quantized struct {
		MLX    json.RawMessage `json:"quantization"`
		Config struct {
			Method string `json:"quant_method"`
		} `json:"quantization_config"`
	}
	var config struct {
		quantized
		Text quantized `json:"text_config"`
	}
	if json.Unmarshal(data, &config) != nil {
		return nil // Open says what is wrong
	}
	for _, q := range []quantized{config.quantized, config.Text} {
		if q.Config.Method != "" && len(q.MLX) == 0 {
			return fmt.Errorf("quant_method %q is not supported; weights that are not quantized are, "+
				"and those that mlx-lm quantized", q.Config.Method)
		}
	}
	return nil
}
