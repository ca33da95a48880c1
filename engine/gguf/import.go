package gguf

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"loadstone/engine/checkpoint"
)

// imported are the names of the files of an imported folder and of the licences that package
// catalog puts beside them. Import replaces a folder that holds nothing else.
var imported = []string{"config.json", "model.safetensors", "tokenizer.json",
	"tokenizer_config.json",
	"generation_config.json", "chat_template.jinja", "LICENSE", "NOTICE.md", "GEMMA_TERMS.html"}

// Import makes a Hugging Face folder at dir from the GGUF file at path. It writes quantised weights
// in MLX's affine form and others in float32; configuration, tokenizer and chat template come from
// the file's metadata. It writes into a new folder beside dir, which it renames at the end, so dir
// is complete or does not exist. It replaces an earlier import at dir; a folder with other files in
// it is an error. Unless progress is nil, Import calls it with the bytes of weights that are done
// and with their total.
func Import(path, dir string, progress func(done, total int64)) error {
	return ImportContext(context.Background(), path, dir, progress)
}

// ImportContext is Import that stops early when ctx ends and then leaves nothing behind.
func ImportContext(ctx context.Context, path, dir string,
	progress func(done, total int64)) (err error) {
	f, err := Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := newModel(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	dir = filepath.Clean(dir)
	if err := replaceable(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".import-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	fresh := filepath.Join(tmp, "new")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if err := m.writeText(f, fresh); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := checkpoint.Write(fresh, m.config, m.weights(ctx, f, progress)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return swap(dir, fresh, filepath.Join(tmp, "old"))
}

// replaceable makes sure that an import replaces nothing but an earlier import.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(imported, e.Name()) {
			return fmt.Errorf("%s holds %s, which no import wrote; name a new folder",
				dir, e.Name())
		}
	}
	return nil
}

// swap renames dir, if it exists, to old, and fresh to dir.
func swap(dir, fresh, old string) error {
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, dir); err != nil {
		return errors.Join(err, os.Rename(old, dir))
	}
	return nil
}

// writeText writes all files but config.json and the weights.
func (m *model) writeText(f *File, dir string) error {
	tok, err := tokenizer(f.Meta)
	if err != nil {
		return err
	}
	tokConfig, err := tokenizerConfig(f.Meta, m.config["max_position_embeddings"].(int))
	if err != nil {
		return err
	}
	ids, err := specialIDs(f.Meta, m.config["vocab_size"].(int))
	if err != nil {
		return err
	}
	generation := map[string]any{}
	ids.addTo(generation)
	for name, v := range map[string]any{
		"tokenizer_config.json": tokConfig, "generation_config.json": generation,
	} {
		if err := writeJSON(filepath.Join(dir, name), v, "  "); err != nil {
			return err
		}
	}
	// Without indentation, because there may be half a million merges.
	if err := writeJSON(filepath.Join(dir, "tokenizer.json"), tok, ""); err != nil {
		return err
	}
	if !f.Meta.Has("tokenizer.chat_template") {
		return nil
	}
	template, err := f.Meta.Text("tokenizer.chat_template")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o644)
}

func writeJSON(path string, v any, indent string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return errors.Join(enc.Encode(v), w.Flush(), f.Close())
}
