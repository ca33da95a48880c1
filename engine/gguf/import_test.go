package gguf

import (
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/checkpoint"
)

// importFile imports a file of testdata and checks the progress reports.
func importFile(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	var done, total int64
	err := Import(filepath.Join("testdata", name), dir, func(d, n int64) {
		if d < done || n < d {
			t.Errorf("progress %d of %d after %d", d, n, done)
		}
		done, total = d, n
	})
	if err != nil {
		t.Fatal(err)
	}
	if total == 0 || done != total {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	return dir
}

// TestImportWeights checks every element. The script that made the files set element k of the
// Hugging Face tensor NAME to crc32(NAME)%4096 + k, permuted q and k and added 1 to norms.
func TestImportWeights(t *testing.T) {
	for file, tensors := range map[string]int{"llama.gguf": 11, "gemma3.gguf": 15} {
		c, err := checkpoint.Open(os.DirFS(importFile(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Names()) != tensors {
			t.Errorf("%s: tensors %q, want %d", file, c.Names(), tensors)
		}
		for _, name := range c.Names() {
			data, shape, err := c.Float32(name)
			if err != nil {
				t.Fatal(err)
			}
			for k, got := range data {
				if want := float32(int(crc32.ChecksumIEEE([]byte(name))%4096) + k); got != want {
					t.Errorf("%s: %s %v: element %d is %v, want %v",
						file, name, shape, k, got, want)
					break
				}
			}
		}
	}
}

func TestImportConfig(t *testing.T) {
	const common = `"hidden_size":16,"num_hidden_layers":1,"num_attention_heads":4,
		"num_key_value_heads":2,"head_dim":8,"intermediate_size":32,"max_position_embeddings":64,
		"tie_word_embeddings":true,`
	for file, text := range map[string]string{
		"llama.gguf": `{` + common + `"model_type":"llama","vocab_size":101,"rms_norm_eps":1e-5,
			"rope_theta":1e5,"bos_token_id":1,"eos_token_id":0}`,
		"gemma3.gguf": `{` + common + `"model_type":"gemma3_text","vocab_size":272,
			"rms_norm_eps":1e-6,"rope_theta":1e6,"rope_local_base_freq":10000,
			"query_pre_attn_scalar":8,"sliding_window":32,"layer_types":["sliding_attention"],
			"bos_token_id":2,"eos_token_id":[1,4]}`,
	} {
		want, err := checkpoint.ParseConfig([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c, err := checkpoint.Open(os.DirFS(importFile(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.Config, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", file, c.Config, want)
		}
	}
}

// tokenizerJSON is the part of tokenizer.json that the tests check.
type tokenizerJSON struct {
	Added []struct {
		ID      int
		Content string
		Special bool
	} `json:"added_tokens"`
	Normalizer    any
	PreTokenizer  any `json:"pre_tokenizer"`
	Decoder       any
	PostProcessor any `json:"post_processor"`
	Model         struct {
		UnkToken     any  `json:"unk_token"`
		ByteFallback bool `json:"byte_fallback"`
		FuseUnk      bool `json:"fuse_unk"`
		Vocab        map[string]int
		Merges       [][2]string
	}
}

func readTokenizer(t *testing.T, dir string) (tok tokenizerJSON) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err == nil {
		err = json.Unmarshal(data, &tok)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// sameJSON compares a decoded value with JSON text.
func sameJSON(t *testing.T, what string, got any, want string) {
	t.Helper()
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, w) {
		g, _ := json.Marshal(got)
		t.Errorf("%s:\n got %s\nwant %s", what, g, want)
	}
}

func TestImportByteLevel(t *testing.T) {
	dir := importFile(t, "llama.gguf")
	tok := readTokenizer(t, dir)
	// These are SmolLM2's own.
	sameJSON(t, "pre_tokenizer", tok.PreTokenizer, `{"type": "Sequence", "pretokenizers": [
		{"type": "Digits", "individual_digits": true},
		{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}`)
	sameJSON(t, "decoder", tok.Decoder, `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`)
	if tok.Normalizer != nil || tok.PostProcessor != nil || tok.Model.UnkToken != nil ||
		tok.Model.ByteFallback {
		t.Errorf("a byte-level tokenizer with %+v", tok)
	}
	want := [][2]string{{"t", "h"}, {"th", "e"}, {"Ġ", "the"}}
	if !slices.Equal(tok.Model.Merges, want) {
		t.Errorf("merges %q, want %q", tok.Model.Merges, want)
	}
	if len(tok.Model.Vocab) != 101 || tok.Model.Vocab["Ġthe"] != 100 ||
		tok.Model.Vocab["<"] != 2+'<'-'!' {
		t.Errorf("vocabulary %v", tok.Model.Vocab)
	}
	if len(tok.Added) != 2 || tok.Added[1].Content != "<|start|>" || tok.Added[1].ID != 1 ||
		!tok.Added[1].Special {
		t.Errorf("added tokens %+v", tok.Added)
	}
	template, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja"))
	if want := "{% for m in messages %}<|start|>{{ m['content'] }}<|end|>{% endfor %}"; err != nil || string(template) != want {
		t.Errorf("chat template %q, %v", template, err)
	}
	var config map[string]any
	data, _ := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "tokenizer_config.json", config, `{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|start|>",
		"eos_token": "<|end|>", "model_max_length": 64, "clean_up_tokenization_spaces": false}`)
}

func TestImportSentencePiece(t *testing.T) {
	dir := importFile(t, "gemma3.gguf")
	tok := readTokenizer(t, dir)
	sameJSON(t, "normalizer", tok.Normalizer,
		`{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}`)
	sameJSON(t, "decoder", tok.Decoder, `{"type": "Sequence", "decoders": [
		{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}`)
	sameJSON(t, "post_processor", tok.PostProcessor, `{"type": "TemplateProcessing",
		"single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
		"pair": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
			{"SpecialToken": {"id": "<bos>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
		"special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}}}`)
	if tok.Model.UnkToken != "<unk>" || !tok.Model.ByteFallback || !tok.Model.FuseUnk {
		t.Errorf("model without unk token, byte fallback or fused unk tokens: %v",
			tok.Model.UnkToken)
	}
	// Runs of ▁ first, longer left halves first; then by score.
	want := [][2]string{{"▁▁", "▁"}, {"▁", "▁▁"}, {"▁", "▁"}, {"▁", "t"}, {"h", "e"}, {"▁t", "he"}}
	if !slices.Equal(tok.Model.Merges, want) {
		t.Errorf("merges %q, want %q", tok.Model.Merges, want)
	}
	special := map[string]bool{}
	for _, a := range tok.Added {
		special[a.Content] = a.Special
	}
	if want := map[string]bool{"<pad>": true, "<eos>": true, "<bos>": true,
		"<unk>": true, "<turn>": true,
		"\n": false, "\n\n": false, "▁▁": false, "▁▁▁": false}; !maps.Equal(special, want) {
		t.Errorf("added tokens, special or not: %v, want %v", special, want)
	}
	_, err := os.Stat(filepath.Join(dir, "chat_template.jinja"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a chat template that the file does not have: %v", err)
	}
}

func TestImportReplaces(t *testing.T) {
	dir := importFile(t, "llama.gguf")
	if err := Import("testdata/gemma3.gguf", dir, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
		"tokenizer_config.json"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("after a second import %q, want %q", got, want)
	}
	if got := names(t, filepath.Dir(dir)); !slices.Equal(got, []string{"model"}) {
		t.Errorf("left beside it: %q", got)
	}
}

func TestImportFails(t *testing.T) {
	whole, err := os.ReadFile("testdata/llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	edit := func(from, to string) []byte {
		if len(from) != len(to) || strings.Count(string(whole), from) != 1 {
			t.Fatalf("%q does not occur once in the file, or is not as long as %q", from, to)
		}
		return []byte(strings.Replace(string(whole), from, to, 1))
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"truncated":      {whole[:len(whole)-100], "truncated"},
		"architecture":   {edit("\x05\x00\x00\x00\x00\x00\x00\x00llama", "\x05\x00\x00\x00\x00\x00\x00\x00mamba"), `architecture "mamba" cannot be imported; llama, mistral3, qwen2`},
		"key missing":    {edit("llama.block_count", "llama.block_kount"), `"llama.block_count" is missing`},
		"tensor missing": {edit("blk.0.attn_v.weight", "blk.0.attn_w.weight"), `tensor "blk.0.attn_w.weight" has no place in a llama model of 1 layers`},
		"tensor shape":   {edit("feed_forward_length\x04\x00\x00\x00\x20", "feed_forward_length\x04\x00\x00\x00\x21"), `is [32 16]; by the metadata it must be [33 16]`},
		"tokenizer":      {edit("smollm", "mollsm"), `tokenizer.ggml.pre "mollsm" cannot be imported`},
		"merge":          {edit("th e", "the "), `is not two tokens`},
		"token twice":    {edit("\x01\x00\x00\x00\x00\x00\x00\x00A\x01", "\x01\x00\x00\x00\x00\x00\x00\x00B\x01"), `tokens 34 and 35 are both "B"`},
		"token bytes":    {edit("\x01\x00\x00\x00\x00\x00\x00\x00A\x01", "\x01\x00\x00\x00\x00\x00\x00\x00\xff\x01"), `token 34, "\xff", is not UTF-8`},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			path, dir := filepath.Join(parent, "m.gguf"), filepath.Join(parent, "model")
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			err := Import(path, dir, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one with %q and the path", err, c.want)
			}
			if got := names(t, parent); !slices.Equal(got, []string{"m.gguf"}) {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

func TestImportKeeps(t *testing.T) {
	dir := importFile(t, "llama.gguf")
	before, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = ImportContext(ctx, "testdata/gemma3.gguf", dir, func(done, total int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled import: %v", err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "config.json"))
	if string(before) != string(after) || len(names(t, filepath.Dir(dir))) != 1 {
		t.Errorf("a cancelled import left %q and changed config.json: %t",
			names(t, filepath.Dir(dir)), string(before) != string(after))
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err = Import("testdata/llama.gguf", dir, nil)
	if err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("import over a folder with other files: %v", err)
	}
}

// names lists a folder.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func BenchmarkDequantize(b *testing.B) {
	f, err := Open("testdata/quants.gguf")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for _, l := range layouts {
		src := make([]byte, 4096*l.bytes)
		dst := make([]float32, 4096*l.elements)
		b.Run(l.name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(dst)))
			for b.Loop() {
				l.typ.dequantize(dst, src)
			}
		})
	}
}
