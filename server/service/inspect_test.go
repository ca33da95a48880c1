package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loadstone/engine/catalog"
	"loadstone/engine/ref/oracle"
)

// TestInspect: what is said of a model without its weights is what it takes when it is loaded.
func TestInspect(t *testing.T) {
	for _, kind := range oracle.Kinds(t) {
		dir := oracle.Folder(t, kind, oracle.Form{Quantised: true})
		write(t, dir, "tokenizer.json", tinyTokenizer)
		got, err := Inspect(dir)
		if err != nil {
			t.Fatal(err)
		}
		src, err := catalog.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.KV {
			m, err := openRef(src, kv.Format, nil)
			if err != nil {
				t.Fatal(err)
			}
			if g, w := m.KVBytesPerToken(); g != kv.Global || w != kv.Window {
				t.Errorf("%s, %s: %d and %d bytes a token, the model says %d and %d", kind,
					kv.Format, kv.Global, kv.Window, g, w)
			}
			if n := m.WeightBytes(); n != got.RefBytes {
				t.Errorf("%s: %d bytes of weights, the model says %d", kind, got.RefBytes, n)
			}
			if m.Context() != got.Config.MaxPositions {
				t.Errorf("%s: a context of %d", kind, got.Config.MaxPositions)
			}
			m.Close()
		}
		info, err := os.Stat(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		if header := info.Size() - got.WeightBytes; header < 8 || header > 64<<10 {
			t.Errorf("%s: %d bytes of weights in a file of %d", kind, got.WeightBytes, info.Size())
		}
	}
}

// TestInspectGGUF: a GGUF file becomes the folder that was said.
func TestInspectGGUF(t *testing.T) {
	for _, kind := range oracle.GGUFKinds(t) {
		file, _ := oracle.GGUF(t, kind)
		got, err := Inspect(file)
		if err != nil {
			t.Fatal(err)
		}
		if !got.GGUF || got.WeightBytes != got.RefBytes || got.Chat {
			t.Errorf("%s: %+v", kind, got)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.gguf")
	if err := os.WriteFile(bad, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(bad); err == nil || !strings.Contains(err.Error(), "bad.gguf") {
		t.Errorf("error %v", err)
	}
}
