package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"loadstone/engine/tiny"
	"loadstone/metal"
)

// A footprint is what a process takes of the system.
type footprint struct {
	threads, files, goroutines int
	heap                       int // bytes of Go's that are reachable
	resident                   int // bytes of the process in memory
}

func measureFootprint(t *testing.T) (f footprint) {
	t.Helper()
	f.threads, f.resident = threads(t), ofProcess(t, "VmRSS: %d kB")<<10
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.GC() // what the first has finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.files, f.goroutines, f.heap = len(files), runtime.NumGoroutine(), int(m.HeapAlloc)
	return f
}

func threads(t *testing.T) int {
	t.Helper()
	return ofProcess(t, "Threads: %d")
}

// ofProcess returns the number in a line of what Linux says of this process.
func ofProcess(t *testing.T, line string) (n int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(status)) {
		if found, _ := fmt.Sscanf(text, line, &n); found == 1 {
			return n
		}
	}
	t.Fatalf("no %q in %s", line, status)
	return 0
}

// growth says what footprints grow in, "" if in nothing. The first third of them is warm-up. The
// median of the last third is compared with that of the middle one, so that what comes and goes
// does not count; heap and resident are how much may be noise, as are 5 threads, which Go makes
// when it needs them.
func growth(all []footprint, heap, resident int) string {
	third := len(all) / 3
	grows := func(of func(footprint) int, noise int) int {
		median := func(part []footprint) int {
			values := make([]int, len(part))
			for i, f := range part {
				values[i] = of(f)
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		return max(0, median(all[2*third:])-median(all[third:2*third])-noise)
	}
	var found []string
	for _, x := range []struct {
		name  string
		of    func(footprint) int
		noise int
	}{
		{"threads", func(f footprint) int { return f.threads }, 5},
		{"files", func(f footprint) int { return f.files }, 0},
		{"goroutines", func(f footprint) int { return f.goroutines }, 0},
		{"bytes of the heap", func(f footprint) int { return f.heap }, heap},
		{"resident bytes", func(f footprint) int { return f.resident }, resident},
	} {
		if n := grows(x.of, x.noise); n > 0 {
			found = append(found, fmt.Sprintf("%d more %s", n, x.name))
		}
	}
	return strings.Join(found, ", ")
}

// TestFlat opens and closes engines that answer a request and keep memories on disk: threads, open
// files, goroutines and memory do not grow with their number.
func TestFlat(t *testing.T) {
	backends := map[string]struct {
		engines int
		open    func() (Model, error)
	}{"ref": {1000, openTiny}}
	if metal.Available {
		dir := t.TempDir()
		if err := os.CopyFS(dir, tiny.FS); err != nil {
			t.Fatal(err)
		}
		backends["mlx"] = struct {
			engines int
			open    func() (Model, error)
		}{300, func() (Model, error) { return metal.Open(dir, metal.Options{}) }}
	}
	for name, b := range backends {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var all []footprint
			for i := range b.engines {
				openAndClose(t, b.open, filepath.Join(dir, fmt.Sprint(i%5)))
				if i%10 == 9 {
					all = append(all, measureFootprint(t))
				}
			}
			t.Logf("after 10 engines %+v, after %d %+v", all[0], b.engines, all[len(all)-1])
			// A third of 300 engines would leave so much at 1 kB and at 40 kB each. Without a leak the
			// heap has differed by 70 kB between two moments.
			if found := growth(all, 100_000, 4_000_000); found != "" {
				t.Errorf("%d engines leave %s", b.engines/3, found)
			}
		})
	}
}

// openAndClose has an engine restore a memory, if there is one, answer, and save it.
func openAndClose(t *testing.T, open func() (Model, error), dir string) {
	t.Helper()
	m, err := open()
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{Model: m, KVBytes: int64(64 * tokenBytes(m)), BlockTokens: 8, Dir: dir,
		Fingerprint: "tiny"})
	if err != nil {
		t.Fatal(err)
	}
	s := submit(t, e, t.Context(), "ann", count(1, 12), 3)
	drainTokens(s)
	if r := s.Result(); r.Err != nil {
		t.Fatal(r.Err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFlatFinds shows that growth names each kind of leak that TestFlat looks for.
func TestFlatFinds(t *testing.T) {
	var kept [][]byte
	end, locked := make(chan struct{}), make(chan bool)
	defer close(end)
	for name, leak := range map[string]func(){
		// 10 MB between thirds: what earlier tests left and the collector frees meanwhile is less.
		"bytes of the heap": func() { kept = append(kept, make([]byte, 1<<20)) },
		"files": func() {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
		},
		"goroutines": func() { go func() { <-end }() },
		// The first goroutines take threads that Go has and does not use: some more on a machine with
		// many processors, or after tests that wait for a disk.
		"threads": func() {
			for n, before := 0, threads(t); threads(t) <= before; n++ {
				if n > 10_000 {
					t.Fatalf("%d locked threads are no more than %d", n, before)
				}
				go func() {
					runtime.LockOSThread()
					locked <- true
					<-end
				}()
				<-locked
			}
		},
	} {
		var all []footprint
		for range 30 {
			leak()
			all = append(all, measureFootprint(t))
		}
		if found := growth(all, 100_000, 1<<40); !strings.Contains(found, name) {
			t.Errorf("a leak of %s is seen as %q", name, found)
		}
	}
	runtime.KeepAlive(kept)
}
