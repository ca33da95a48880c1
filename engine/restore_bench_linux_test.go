package engine

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"loadstone/metal"
)

// A memoryModel computes nothing and keeps its KV in plain memory. It has the shape of Gemma 3 270M
// with KV in float32.
type memoryModel struct {
	idleModel
	blocks, slots []byte
	blockTokens   int
}

func (m *memoryModel) Vocab() int                            { return 262_144 }
func (m *memoryModel) Window() int                           { return 512 }
func (m *memoryModel) KVBytesPerToken() (global, window int) { return 6 << 10, 30 << 10 }

// AllocKV fills the memory with numbers that no file system or disk finds a shorter form for.
func (m *memoryModel) AllocKV(blocks, windowSlots, blockTokens int) error {
	m.blockTokens = blockTokens
	m.blocks = make([]byte, blocks*blockTokens*(6<<10))
	m.slots = make([]byte, windowSlots*blockTokens*(30<<10))
	random := rand.NewChaCha8([32]byte{})
	random.Read(m.blocks)
	random.Read(m.slots)
	return nil
}

func (m *memoryModel) ReadKV(block, slot, tokens int, dst []byte) error {
	n := copy(dst[:tokens*(6<<10)], m.blocks[block*m.blockTokens*(6<<10):])
	if slot >= 0 {
		copy(dst[n:], m.slots[slot*m.blockTokens*(30<<10):])
	}
	return nil
}

func (m *memoryModel) WriteKV(block, slot, tokens int, src []byte) error {
	n := copy(m.blocks[block*m.blockTokens*(6<<10):], src[:tokens*(6<<10)])
	if slot >= 0 {
		copy(m.slots[slot*m.blockTokens*(30<<10):], src[n:])
	}
	return nil
}

// BenchmarkRestore measures the first token of an agent's next question after a restart, where its
// memory on disk has 32000 tokens, or 8000 where the context is shorter, beside a plain read of the
// file, from its beginning to its end, in turns. The file is in the page cache or, cold, is dropped
// from it before each. The engine has started, on a network that is loaded, when the question
// comes. first-token-cpu-ns is the processor time until then, step-ns the second token's time: what
// a token takes after as many others. The network is Gemma 3 270M, SmolLM2, or one of Gemma's shape
// that computes nothing: then all of it is the restore. All figures are medians, because a disk
// that others use as well is now and then slow.
func BenchmarkRestore(b *testing.B) {
	b.Run("model=none", func(b *testing.B) { benchRestore(b, &memoryModel{}, 32_000) })
	for _, x := range []struct {
		model  string
		tokens int
	}{{"gemma3-270m", 32_000}, {"smollm2", 8000}} {
		b.Run("model="+x.model, func(b *testing.B) {
			if !metal.Available {
				b.Skip(metal.ErrUnavailable)
			}
			m, err := openMLX(x.model)
			if err != nil {
				b.Skip(err) // it says how to get the model
			}
			defer m.Close()
			benchRestore(b, m, x.tokens)
		})
	}
}

func benchRestore(b *testing.B, model Model, tokens int) {
	m := &benchModel{Model: model}
	dir := b.TempDir()
	e := m.engine(b, dir)
	prompt := m.prompt(1, tokens)
	s := benchSubmit(b, e, b.Context(), "ann", prompt, 1)
	prompt = append(prompt, (<-s.Tokens()).ID)
	drainTokens(s)
	if err := e.save(named("ann").Agent); err != nil {
		b.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.memory"))
	if err != nil || len(files) != 1 {
		b.Fatal(files, err)
	}
	saved := filepath.Join(b.TempDir(), filepath.Base(files[0]))
	if err := os.Link(files[0], saved); err != nil {
		b.Fatal(err)
	}
	prompt = append(prompt, m.prompt(2, 8)...)
	s = benchSubmit(b, e, b.Context(), "ann", prompt, 2)
	want := []int32{(<-s.Tokens()).ID, (<-s.Tokens()).ID}
	drainTokens(s)
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}

	for _, cache := range []string{"warm", "cold"} {
		b.Run("cache="+cache, func(b *testing.B) {
			drop := func() {
				if cache == "cold" {
					dropCached(b, saved)
				}
			}
			var disk, first, step, ratio, cpu []float64
			bytes := int64(0)
			for b.Loop() {
				drop()
				var plain time.Duration
				plain, bytes = readPlain(b, saved)
				drop()
				dir := b.TempDir()
				if err := os.Link(saved, filepath.Join(dir, filepath.Base(saved))); err != nil {
					b.Fatal(err)
				}
				e := m.engine(b, dir)
				began, used := time.Now(), cpuTime(b)
				s := benchSubmit(b, e, b.Context(), "ann", prompt, 2)
				got := []int32{(<-s.Tokens()).ID}
				took := time.Since(began)
				cpu = append(cpu, float64(cpuTime(b)-used))
				began = time.Now()
				got = append(got, (<-s.Tokens()).ID)
				step = append(step, float64(time.Since(began)))
				disk, first = append(disk, float64(plain)), append(first, float64(took))
				ratio = append(ratio, float64(took)/float64(plain))
				drainTokens(s)
				if r := s.Result(); r.Tier != "disk" || r.CachedTokens != tokens ||
					!slices.Equal(got, want) {
					b.Fatalf("want %v: %v, %+v", want, got, r)
				}
				if err := e.Principal("").Forget("ann"); err != nil { // it is not to be saved again
					b.Fatal(err)
				}
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(disk), "disk-ns")
			b.ReportMetric(median(first), "first-token-ns")
			b.ReportMetric(median(cpu), "first-token-cpu-ns")
			b.ReportMetric(median(step), "step-ns")
			b.ReportMetric(median(ratio), "first-token/disk")
			b.ReportMetric(float64(bytes)/median(disk), "disk-GB/s")
			b.ReportMetric(float64(bytes)/1e6, "file-MB")
		})
	}
}

// median returns the middle one of some numbers, or the mean of the two in the middle, and sorts
// them.
func median(x []float64) float64 {
	slices.Sort(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// readPlain reads a file in pieces of 1 MiB, one after the other.
func readPlain(b *testing.B, path string) (took time.Duration, bytes int64) {
	b.Helper()
	buf := make([]byte, 1<<20)
	began := time.Now()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for {
		n, err := f.Read(buf)
		if bytes += int64(n); err == io.EOF {
			return time.Since(began), bytes
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// dropCached has the system drop what it has of a file that is on disk.
func dropCached(b *testing.B, path string) {
	b.Helper()
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
		b.Fatal(errno)
	}
}
