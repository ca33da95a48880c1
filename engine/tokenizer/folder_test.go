package tokenizer

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

const smallTokenizer = `{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`

// folderOf returns a folder of these files, by name and text in turn.
func folderOf(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

// TestOtherTokenizers: the error names the tokenizer that a folder has, and what would work.
func TestOtherTokenizers(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"tokenizer.json", `{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["a",-1.5]]}}`,
			`tokenizer.json: model type "Unigram" is not supported; BPE is`},
		{"tokenizer.json", `{"model":{"unk_id":0,"vocab":[["<unk>",0.0]]}}`,
			`tokenizer.json: model type "Unigram" is not supported; BPE is`},
		{"tokenizer.json", `{"normalizer":{"type":"BertNormalizer"},"model":{"type":"WordPiece","unk_token":"[UNK]",` +
			`"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0}}}`,
			`tokenizer.json: model type "WordPiece" is not supported; BPE is`},
		{"tokenizer.json", `{"model":{"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0}}}`,
			`tokenizer.json: model type "WordPiece" is not supported; BPE is`},
		{"tokenizer.json", `{"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}`,
			`tokenizer.json: model type "WordLevel" is not supported; BPE is`},
		{"tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
			"tokenizer.json is a Git LFS pointer, not the file: run git lfs pull"},
		{"tokenizer.json", "\xff\xfe{\x00}\x00", "tokenizer.json begins with a byte order mark of UTF-16"},
		{"tokenizer.model", "\n", "tokenizer.json is not there; tokenizer.model is SentencePiece's"},
		{"tekken.json", "{}", "tokenizer.json is not there; tekken.json is Mistral's"},
		{"vocab.json", "{}", "tokenizer.json is not there; vocab.json is"},
		{"README", "", "tokenizer.json is not there; get it"},
	} {
		if _, err := Load(folderOf(c.file, c.text)); err == nil ||
			!strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %q: error %v, want %q", c.file, c.text, err, c.want)
		}
	}
	if _, err := Load(folderOf()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestByteOrderMarks: files that an editor has marked as UTF-8 are read as if it had not.
func TestByteOrderMarks(t *testing.T) {
	const template, config = `{% for m in messages %}{{ m.content }}{% endfor %}`,
		`{"eos_token_id":1}`
	want, err := Load(folderOf("tokenizer.json", smallTokenizer, "config.json", config,
		"chat_template.jinja", template))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(folderOf("tokenizer.json", "\ufeff"+smallTokenizer, "config.json",
		"\ufeff"+config, "chat_template.jinja", "\ufeff"+template,
		"tokenizer_config.json", "\ufeff{}", "special_tokens_map.json", "\ufeff{}",
		"generation_config.json", "\ufeff{}"))
	if err != nil {
		t.Fatal(err)
	}
	chat := func(m *Model) string {
		ids, err := m.EncodeChat([]string{"user"}, []string{"abab"}, nil, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		var text []byte
		for _, id := range ids {
			text = m.AppendToken(text, id)
		}
		return string(text)
	}
	if a, b := chat(got), chat(want); a != b || b != "abab" || len(got.StopTokens()) != 1 {
		t.Errorf("chat %q, without marks %q; stop tokens %v", a, b, got.StopTokens())
	}
}

// TestWhereTheTemplateIs: a chat template may be in three files; the newest form counts first.
func TestWhereTheTemplateIs(t *testing.T) {
	files := []string{"tokenizer.json", smallTokenizer}
	has := func(want bool, prompt string, more ...string) {
		t.Helper()
		files = append(files, more...)
		m, err := Load(folderOf(files...))
		if err != nil {
			t.Fatal(err)
		}
		if m.HasTemplate() != want {
			t.Errorf("HasTemplate is %t with %q", !want, files)
		}
		ids, err := m.EncodeChat([]string{"user"}, []string{"x"}, nil, nil, 0)
		if want != (err == nil) || len(ids) != len(prompt) {
			t.Errorf("ids %v, %v, want those of %q", ids, err, prompt)
		}
	}
	has(false, "")
	has(false, "", "tokenizer_config.json", `{"chat_template":null}`)
	has(true, "a", "chat_template.json", `{"chat_template":"a"}`)
	has(true, "aa", "tokenizer_config.json", `{"chat_template":"aa"}`)
	has(true, "aaa", "chat_template.jinja", `aaa`)
}
