// Package freeport has addresses for those who must know one before a server has it, or who end a
// server and start it again at its address: tests, and loadstone soak. A port that the system gave
// away and that is closed again is the next one's that asks, perhaps another test's: one in some
// hundred such tests fails for that. These ports are below those that systems give away, and each
// process has its own.
package freeport

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Process N has the ports from first + N%processes*each on.
const first, each, processes = 20_000, 60, 200

var given atomic.Int64

// Address returns an address of this machine at which nothing listens. It is not given again before
// all others of this process were.
func Address() string { return Consecutive(1) }

// Consecutive returns an address at which nothing listens, nor at the n-1 ports after it.
func Consecutive(n int) string {
	for range each {
		at := int(given.Add(int64(n))-int64(n)) % each
		port := first + os.Getpid()%processes*each + at
		if at+n <= each && free(port, n) {
			return address(port)
		}
	}
	panic(fmt.Sprintf("of the ports from %d on none are free for %d servers", first, n))
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func free(port, n int) bool {
	for i := range n {
		l, err := net.Listen("tcp", address(port+i))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
