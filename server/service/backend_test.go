package service

import (
	"testing"

	"loadstone/metal"
)

func TestBackend(t *testing.T) {
	auto := "ref"
	if metal.Available {
		auto = "mlx"
	}
	for name, want := range map[string]string{
		"auto": auto, "ref": "ref", "mlx": "mlx", "metal": "mlx", "cuda": "cuda",
	} {
		if got := Backend(name); got != want {
			t.Errorf("Backend(%q) = %q, want %q", name, got, want)
		}
	}
	for _, name := range BackendValues() {
		if b := Backend(name); b != BackendRef && b != BackendMLX {
			t.Errorf("the value %s stands for the backend %s, which does not exist", name, b)
		}
	}
}

func TestKVFormats(t *testing.T) {
	for _, name := range append(KVFormats(), KVAuto) {
		if err := checkKVFormat(name); err != nil {
			t.Error(err)
		}
	}
	want := `unknown -kv "f64"; want auto, f32, f16, q8 or q4`
	if err := checkKVFormat("f64"); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
