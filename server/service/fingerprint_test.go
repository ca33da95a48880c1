package service

import (
	"bytes"
	"testing"
	"testing/fstest"
)

// TestFingerprint: everything that the KV depends on changes the fingerprint, and nothing else
// does.
func TestFingerprint(t *testing.T) {
	weights := bytes.Repeat([]byte{1}, wholeFile+1000)
	model := func() fstest.MapFS {
		return fstest.MapFS{
			"config.json":         {Data: []byte("{}")},
			"chat_template.jinja": {Data: []byte("a")},
			"model.safetensors":   {Data: bytes.Clone(weights)},
			"README.md":           {Data: []byte("read me")},
		}
	}
	of := func(fsys fstest.MapFS, backend, kv string) string {
		t.Helper()
		f, err := fingerprint(fsys, backend, kv, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	was := of(model(), "ref", "f32")
	same := model()
	same["README.md"].Data = []byte("read me again")
	if of(same, "ref", "f32") != was {
		t.Error("the read-me file counts")
	}
	if of(model(), BackendMLX, "f32") == was {
		t.Error("the backend does not count")
	}
	if of(model(), "ref", "f16") == was {
		t.Error("the format of the cache does not count")
	}
	if f, err := fingerprint(model(), "ref", "f32", 8); err != nil || f != was {
		t.Errorf("activations of 8 bits count, or %v", err)
	}
	if f, err := fingerprint(model(), "ref", "f32", 16); err != nil || f == was {
		t.Errorf("activations of 16 bits do not count, or %v", err)
	}
	for name, change := range map[string]func(fstest.MapFS){
		"config":       func(m fstest.MapFS) { m["config.json"].Data = []byte("[]") },
		"template":     func(m fstest.MapFS) { m["chat_template.jinja"].Data = []byte("b") },
		"tokenizer":    func(m fstest.MapFS) { m["tokenizer.json"] = &fstest.MapFile{Data: []byte("{}")} },
		"size":         func(m fstest.MapFS) { m["model.safetensors"].Data = append(m["model.safetensors"].Data, 1) },
		"last weight":  func(m fstest.MapFS) { m["model.safetensors"].Data[len(weights)-1]++ },
		"first weight": func(m fstest.MapFS) { m["model.safetensors"].Data[0]++ },
	} {
		m := model()
		change(m)
		if of(m, "ref", "f32") == was {
			t.Errorf("%s does not count", name)
		}
	}
}

// TestFingerprintIsStable: memories that earlier releases saved are still valid, those of MLX among
// them, which was called metal then.
func TestFingerprintIsStable(t *testing.T) {
	model := fstest.MapFS{
		"config.json":       {Data: []byte("{}")},
		"model.safetensors": {Data: []byte("weights")},
	}
	for _, test := range []struct{ backend, kv, want string }{
		{BackendRef, "f32", "a68af1116a00c084d2859a6ebfba2e3f"},
		{BackendRef, "q4", "7e9b85fb2f48fd2b63162f3499efe67e"},
		{BackendMLX, "f32", "137360478bf3a84b48460f547e19b60d"},
		{BackendMLX, "q4", "2f8744433833c4fc3fe5352cb6f7d618"},
	} {
		got, err := fingerprint(model, test.backend, test.kv, 8)
		if err != nil || got != test.want {
			t.Errorf("%s, %s: %s, %v, want %s", test.backend, test.kv, got, err, test.want)
		}
	}
}
