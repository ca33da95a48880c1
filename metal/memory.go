//go:build mlx

package metal

// #include "bridge.h"
import "C"

import (
	"bufio"
	"fmt"
	"os"
)

// availableMemory returns the bytes that the system can still give out, 0 where it does not say.
func availableMemory() uint64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib uint64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// readMemory reads bytes of memory, in large pages and none of them in a cache, times times with
// the threads of the kernels.
func readMemory(bytes, times int) (seconds float64, err error) {
	err = onThread(func() error {
		return call(func(e *C.char, n C.size_t) C.int {
			return C.ls_read_memory(C.int64_t(bytes), C.int32_t(times), (*C.double)(&seconds), e, n)
		})
	})
	return seconds, err
}
