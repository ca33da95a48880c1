//go:build !mlx

package metal

import (
	"errors"
	"testing"
)

func TestStub(t *testing.T) {
	if m, err := Open(t.TempDir(), Options{}); m != nil || !errors.Is(err, ErrUnavailable) {
		t.Errorf("Open without MLX: %v, %v; want ErrUnavailable", m, err)
	}
}
