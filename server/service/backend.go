package service

import (
	"fmt"
	"slices"
	"strings"

	"loadstone/engine/ref"
	"loadstone/metal"
)

// The backends, which run a model.
const (
	BackendRef = "ref" // package ref: pure Go, in every build
	BackendMLX = "mlx" // package metal: MLX, in builds with the tag mlx
)

// Values of the flag -backend beside the backends themselves.
const (
	backendAuto  = "auto"
	backendMetal = "metal" // the old name of mlx, accepted for one more release
)

// BackendValues returns what the flag -backend takes, without the old name of mlx.
func BackendValues() []string { return []string{backendAuto, BackendMLX, BackendRef} }

// Backend returns the backend that a value of the flag -backend stands for in this build: auto is
// mlx where the build has it and ref elsewhere, and metal is mlx. Any other name is returned
// unchanged.
func Backend(name string) string {
	switch {
	case name == backendMetal:
		return BackendMLX
	case name != backendAuto:
		return name
	case metal.Available:
		return BackendMLX
	default:
		return BackendRef
	}
}

// checkBackend checks the result of Backend.
func checkBackend(name string) error {
	switch {
	case name == BackendMLX && !metal.Available:
		return metal.ErrUnavailable
	case name != BackendMLX && name != BackendRef:
		return fmt.Errorf("unknown -backend %q; want %s", name, alternatives(BackendValues()))
	}
	return nil
}

// KVAuto stands for the KV format in which the backend computes.
const KVAuto = "auto"

// KVFormats returns the formats of the KV cache, most bits first. q8 and q4 have 8 and 4 bits in
// groups of 64 elements.
func KVFormats() []string {
	var names []string
	for _, f := range ref.KVFormats() {
		names = append(names, f.Name)
	}
	return names
}

func checkKVFormat(name string) error {
	values := append([]string{KVAuto}, KVFormats()...)
	if !slices.Contains(values, name) {
		return fmt.Errorf("unknown -kv %q; want %s", name, alternatives(values))
	}
	return nil
}

// alternatives joins values with commas, and the last with "or".
func alternatives(values []string) string {
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}
