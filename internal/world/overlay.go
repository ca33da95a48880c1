package world

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A change is of a file of Go's sources: of its runtime, mostly.
type change struct{ file, from, to string }

// changes are what the guest's runtime has other than Go's. It shuffles goroutines, as the race
// detector's does, by numbers that are the same on all processors; their stacks begin at a size at
// which few must grow; it does not measure how long they wait and what it takes to give memory
// back, for which it would ask for the time, the more often the more stacks and the heap grow; and
// it has a time of its own.
var changes = []change{
	{"runtime/proc.go", "const randomizeScheduler = raceenabled", "const randomizeScheduler = true"},
	{"runtime/proc.go", "newg = malg(stackMin)", "newg = malg(worldStack)"},
	{"runtime/proc.go", "	if !gp.tracking {\n", "	if true {\n"},
	{"runtime/mheap.go", "if pp != nil && bytesToScavenge > 0 {",
		"if false && pp != nil && bytesToScavenge > 0 {"},
	{"runtime/rand.go", "goarch.IsS390x|goarch.IsRiscv64|goarch.IsLoong64 == 1 {",
		"goarch.IsS390x|goarch.IsRiscv64|goarch.IsLoong64 == -1 {"},
}

// wasmChanges are those for WebAssembly. The memory grows only where there is too little of it, not
// where the runtime has never asked for what there is.
var wasmChanges = []change{
	{"runtime/mem_wasm.go", "grow := (bl + n - blocMax) / physPageSize",
		"grow := max(0, int32((bl+n)/physPageSize)-currentMemory())"},
	{"runtime/os_wasip1.go", "func nanotime1() int64 {",
		"func nanotime1() int64 {\n\treturn worldTime()"},
	{"runtime/os_wasip1.go", "func walltime1() (sec int64, nsec int32) {",
		`func walltime1() (sec int64, nsec int32) {
	now := worldTime()
	return now / 1e9, int32(now % 1e9)`},
	{"runtime/os_wasip1.go", "func usleep(usec uint32) {", `func usleep(usec uint32) {
	worldSleep(int64(usec) * 1e3)
	return`},
	{"runtime/netpoll_wasip1.go", "	pollsubs := subs\n", `	if len(subs) == 1 { // nothing but the timers
		worldSleep(delay)
		unlock(&mtx)
		return gList{}, 0
	}
	pollsubs := subs
`},
	// Errors are said in the words of Linux.
	{"syscall/tables_wasip1.go", `"Connection aborted"`, `"software caused connection abort"`},
	{"syscall/tables_wasip1.go", `"Connection refused"`, `"connection refused"`},
	{"syscall/tables_wasip1.go", `"Connection reset by peer"`, `"connection reset by peer"`},
	{"syscall/tables_wasip1.go", `"I/O error"`, `"input/output error"`},
	{"syscall/tables_wasip1.go", `"No space left on device"`, `"no space left on device"`},
}

// linuxChanges are those for Linux, with the tag faketime, that make it as WebAssembly is: one
// thread, no monitor, no random numbers of the system, and hashes and exponentials that are
// computed without instructions that some processors have.
var linuxChanges = []change{
	{"runtime/proc.go", `const haveSysmon = GOARCH != "wasm"`, "const haveSysmon = false"},
	{"runtime/proc.go", "func dolockOSThread() {", "func dolockOSThread() {\n\treturn"},
	{"runtime/proc.go", "func dounlockOSThread() {", "func dounlockOSThread() {\n\treturn"},
	{"runtime/alg.go", "func alginit() {", `func alginit() {
	for i := range hashkey {
		hashkey[i] = uintptr(bootstrapRand())
	}
	return`},
	{"runtime/os_linux.go", "startupRand = (*[16]byte)(unsafe.Pointer(val))[:]", ""},
	{"runtime/os_linux.go", "func readRandom(r []byte) int {",
		"func readRandom(r []byte) int {\n\treturn worldRandom(r)"},
	{"runtime/vgetrandom_linux.go",
		"func vgetrandom(p []byte, flags uint32) (ret int, supported bool) {",
		`func vgetrandom(p []byte, flags uint32) (ret int, supported bool) {
	return worldRandom(p), true`},
	{"runtime/netpoll_epoll.go", "	var waitms int32\n", `	worldSleep(delay)
	return gList{}, 0
	var waitms int32
`},
	{"runtime/time_fake.go", "var faketime int64 = 1257894000000000000", "var faketime int64"},
	{"runtime/time_fake.go", "func nanotime() int64 {",
		"func nanotime() int64 {\n\treturn worldTime()"},
	{"runtime/time_fake.go", "func time_now() (sec int64, nsec int32, mono int64) {",
		`func time_now() (sec int64, nsec int32, mono int64) {
	now := worldTime()
	return now / 1e9, int32(now % 1e9), worldTime()`},
	{"runtime/time_fake.go", "func write(fd uintptr, p unsafe.Pointer, n int32) int32 {",
		`func write(fd uintptr, p unsafe.Pointer, n int32) int32 {
	return worldWrite(fd, p, n)`},
	{"math/exp_asm.go", "const haveArchExp = true", "const haveArchExp = false"},
	{"math/exp2_asm.go", "const haveArchExp2 = true", "const haveArchExp2 = false"},
	{"math/log_asm.go", "const haveArchLog = true", "const haveArchLog = false"},
}

// added is what it has beyond that: it can begin anew with other random numbers. Its time goes on
// by a microsecond whenever it is asked for, and at once to the next timer when all goroutines
// wait. A program that asks again and again and never waits will not come to an end: it is ended.
const added = `
const worldStack = 16 << 10

const worldMaxAsks = 5_000_000

var (
	worldNow int64 = 1_767_225_600e9 // nanoseconds since 1970: the year 2026 begins
	worldAsks int // since it last went on by itself
)

//go:nosplit
func worldTime() int64 {
	if worldAsks++; worldAsks > worldMaxAsks {
		worldSpins()
	}
	worldNow += 1000
	return worldNow
}

func worldSpins() {
	worldAsks = 0 // to say so takes time
	systemstack(func() { throw("` + spins + `") })
}

func worldSleep(ns int64) {
	if ns > 0 {
		worldNow, worldAsks = worldNow+ns, 0
	}
}

// worldReseed begins an episode, at the same moment and turn of the scheduler after any start.
//
//go:linkname worldReseed
func worldReseed() {
	const hour = 3_600e9
	worldNow, worldAsks = (worldNow/hour+1)*hour, 0
	getg().m.p.ptr().schedtick = 0
	startingStackSize = worldStack
	seed := &globalRand.seed
	if readRandom(seed[:]) != len(seed) {
		throw("no random numbers")
	}
	globalRand.state.Init(*seed)
	mrandinit(getg().m)
}
`

// spins is what a guest says that never waits.
const spins = "the guest spins: it asks for the time and never waits"

// wasmAdded says between which addresses memory may have been written.
const wasmAdded = `
//go:linkname worldWritten
func worldWritten() (from, to uintptr) { return firstmoduledata.noptrdata, blocMax }
`

// linuxAdded has the random numbers, which are those of rand.ChaCha8 of math/rand/v2, and keeps in
// memory what the program writes once it has been given memory for that.
const linuxAdded = `
var worldRand struct {
	state   chacha8rand.State
	init    bool
	buf     [8]byte
	readLen int
}

//go:linkname worldSeed
func worldSeed(key [32]byte) {
	worldRand.state.Init(key)
	worldRand.init, worldRand.readLen = true, 0
}

func worldRandom(p []byte) int {
	r := &worldRand
	if !r.init {
		worldSeed([32]byte{'s', 't', 'a', 'r', 't'})
	}
	for i := range p {
		if r.readLen == 0 {
			x, ok := r.state.Next()
			for !ok {
				r.state.Refill()
				x, ok = r.state.Next()
			}
			byteorder.LEPutUint64(r.buf[:], x)
			r.readLen = 8
		}
		p[i] = r.buf[8-r.readLen]
		r.readLen--
	}
	return len(p)
}

var worldLog []byte // where what is written goes, behind its length in 8 bytes

//go:linkname worldKeep
func worldKeep(log []byte) { worldLog = log }

//go:nowritebarrierrec
func worldWrite(fd uintptr, p unsafe.Pointer, n int32) int32 {
	if len(worldLog) == 0 {
		return write1(fd, p, n)
	}
	used := (*uint64)(unsafe.Pointer(&worldLog[0]))
	free := worldLog[8+*used:]
	memmove(unsafe.Pointer(unsafe.SliceData(free)), p, uintptr(min(int(n), len(free))))
	*used += uint64(min(int(n), len(free)))
	return n
}
`

// changeRuntime adds to an overlay the guest's runtime, as files in a folder.
func (t *target) changeRuntime(root, dir string, replace map[string]string) error {
	changed := map[string]string{} // by the file's name
	for _, c := range slices.Concat(changes, t.changes) {
		name := filepath.Join(root, "src", c.file)
		if changed[c.file] == "" {
			text, err := os.ReadFile(name)
			if err != nil {
				return fmt.Errorf("this version of Go has another runtime, which package world "+
					"must learn: %w", err)
			}
			changed[c.file] = string(text)
		}
		if strings.Count(changed[c.file], c.from) != 1 {
			return fmt.Errorf("this version of Go has another runtime, which package world must "+
				"learn: %s does not have %q once", name, c.from)
		}
		changed[c.file] = strings.Replace(changed[c.file], c.from, c.to, 1)
	}
	changed["runtime/rand.go"] += added + t.added
	for file, text := range changed {
		other := filepath.Join(dir, strings.ReplaceAll(file, "/", "+"))
		replace[filepath.Join(root, "src", file)] = other
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
