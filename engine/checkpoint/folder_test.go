package checkpoint

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestCheckFolder: what ails a folder as it is found in the wild is named.
func TestCheckFolder(t *testing.T) {
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	for _, test := range []struct {
		file, text string
		want       string // "": nothing ails it
	}{
		{"config.json", `{"model_type":"llama"}`, ""},
		{"config.json", `{"quantization":{"bits":4},"quantization_config":{"bits":4}}`, ""},
		{"config.json", `{"quantization":{"bits":4},"quantization_config":{"quant_method":"x"}}`, ""},
		{"config.json", `{"quantization_config":{"quant_method":"gptq","bits":4}}`, `config.json: quant_method "gptq" is not supported`},
		{"config.json", `{"quantization_config":{"quant_method":"awq"}}`, `"awq"`},
		{"config.json", `{"quantization_config":{"quant_method":"compressed-tensors"}}`, `"compressed-tensors"`},
		{"config.json", `{"quantization_config":{"quant_method":"bitsandbytes"}}`, `"bitsandbytes"`},
		{"config.json", `{"text_config":{"quantization_config":{"quant_method":"gptq"}}}`, `"gptq"`},
		{"config.json", "\uFEFF{}", "config.json begins with a byte order mark"},
		{"tokenizer.json", "\uFEFF{}", "tokenizer.json begins with a byte order mark"},
		{"tokenizer_config.json", "\uFEFF{}", "tokenizer_config.json begins with a byte order mark"},
		{"chat_template.jinja", "\xff\xfe{\x00", "chat_template.jinja is UTF-16"},
		{"model.safetensors", pointer, "model.safetensors is a Git LFS pointer"},
		{"model-00002-of-00003.safetensors", pointer, "is a Git LFS pointer"},
		{"tokenizer.json", pointer, "tokenizer.json is a Git LFS pointer"},
		{"model.safetensors", "\xff\xfe", ""}, // a header of that length, for all that is known here
		{"README.md", "\uFEFF# x", ""},
	} {
		fsys := fstest.MapFS{
			"config.json":    {Data: []byte("{}")},
			"tokenizer.json": {Data: []byte("{}")},
		}
		fsys[test.file] = &fstest.MapFile{Data: []byte(test.text)}
		err := CheckFolder(fsys)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s %.60q: %v, want %q", test.file, test.text, err, test.want)
		}
	}
	if err := CheckFolder(fstest.MapFS{"config.json": {Data: []byte("{}")}}); err == nil || !strings.Contains(err.Error(), "tokenizer.json is not there") {
		t.Errorf("no tokenizer: %v", err)
	}
	if err := CheckFolder(fstest.MapFS{}); err != nil {
		t.Errorf("nothing: %v", err)
	}
}
