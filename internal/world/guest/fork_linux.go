//go:build world

package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"
)

const (
	logBytes = 256 << 20 // room for the longest log; what nobody writes takes no memory
	allBytes = 4 << 30   // what a guest may have at all, as in WebAssembly
)

// main plays the first episode that comes from the host, which warms up what packages make when
// they are first used. From then on it forks for each episode, so that all begin with the same
// memory. It does nothing else meanwhile that the Go runtime could notice: it has one thread, and
// asks the system itself. An episode is a key for its random numbers, its length in 4 bytes, and a
// script. An answer is the status of the process in 4 bytes, the length of its log in 8, and the
// log.
func main() {
	must(syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: allBytes, Max: allBytes}))
	log, err := syscall.Mmap(-1, 0, logBytes, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_SHARED|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	must(err)
	var head [36]byte
	var status [4]byte
	script := make([]byte, 1<<20)
	for first := true; ; first = false {
		if !read(head[:]) {
			os.Exit(0)
		}
		text := script[:binary.LittleEndian.Uint32(head[32:])]
		if !read(text) {
			os.Exit(0)
		}
		used := log[:8]
		binary.LittleEndian.PutUint64(used, 0)
		child, refused := uintptr(0), syscall.Errno(0)
		if !first {
			child, _, refused = syscall.RawSyscall6(syscall.SYS_CLONE, 0, 0, 0, 0, 0, 0)
		}
		if child == 0 && len(text) > 0 {
			keep(log)
			if !first {
				seed([32]byte(head[:]))
			}
			reseed()
			episode(bytes.NewReader(text))
			keep(nil)
		}
		switch {
		case first:
		case refused != 0:
			status[0] = 1
			n := copy(log[len(used):], "fork: "+refused.Error())
			binary.LittleEndian.PutUint64(used, uint64(n))
		case child == 0:
			os.Exit(0)
		default:
			syscall.RawSyscall6(syscall.SYS_WAIT4, child, uintptr(unsafe.Pointer(&status)), wallClone,
				0, 0, 0)
		}
		write(status[:])
		write(log[:8+binary.LittleEndian.Uint64(used)])
	}
}

// wallClone waits for a child that sends no signal when it ends.
const wallClone = 0x4000_0000

// read fills b from the host. It returns false at the end.
func read(b []byte) bool {
	for len(b) > 0 {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, 0, uintptr(unsafe.Pointer(&b[0])),
			uintptr(len(b)))
		if e == syscall.EINTR {
			continue
		}
		if e != 0 || n == 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// write sends b to the host.
func write(b []byte) {
	for len(b) > 0 {
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&b[0])),
			uintptr(len(b)))
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			os.Exit(1)
		}
		b = b[n:]
	}
}

// These are in the runtime that package world builds the guest with.

//go:linkname seed runtime.worldSeed
func seed(key [32]byte)

//go:linkname keep runtime.worldKeep
func keep(log []byte)
