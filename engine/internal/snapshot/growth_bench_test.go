package snapshot

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
)

// BenchmarkGrowthFiles measures a directory of so many memories of 64 tokens; see the benchmarks of
// package engine that are called so.
//
//	what=start   the directory is opened: every header is read
//	what=save    a memory takes the place of the agent's older one, without syncs
//	what=quota   the same of a new agent where the quota is full, so that another one's goes
//	what=find    the engine's goroutine looks an agent up
func BenchmarkGrowthFiles(b *testing.B) {
	h := Header{Fingerprint: "f", Tokens: 64, Shape: kv.Shape{BlockTokens: 32, GlobalBytes: 16}}
	of := func(n int) *Snapshot {
		own := h
		own.Agent, own.Created, own.Saved = named(fmt.Sprintf("agent-%07d", n)), time.Now(), time.Now()
		return complete(own, func(i int) byte { return byte(i) })
	}
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		dir, size := b.TempDir(), int64(0)
		for i := range n {
			var file bytes.Buffer
			if err := of(i).write(&file); err != nil {
				b.Fatal(err)
			}
			name := filepath.Join(dir, FileName(named(fmt.Sprintf("agent-%07d", i))))
			if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
				b.Fatal(err)
			}
			size += int64(file.Len())
		}
		open := func(quota int64) *Store {
			s, err := OpenStore(filestest.Unsynced(files.OS{}), dir, h, quota, 0)
			if err != nil {
				b.Fatal(err)
			}
			if files, _ := s.Size(); files < n {
				b.Fatalf("%d memories of %d", files, n)
			}
			return s
		}
		b.Run(fmt.Sprintf("what=start/files=%d", n), func(b *testing.B) {
			for b.Loop() {
				open(1 << 40).Close()
			}
		})
		for _, what := range []string{"save", "find", "quota"} {
			b.Run(fmt.Sprintf("what=%s/files=%d", what, n), func(b *testing.B) {
				quota := int64(1 << 40)
				if what == "quota" {
					quota = size
				}
				s := open(quota)
				defer s.Close()
				i := 0
				for b.Loop() {
					switch what {
					case "save":
						if err := s.save(of(i % n)); err != nil {
							b.Fatal(err)
						}
					case "quota":
						if err := s.save(of(n + i)); err != nil {
							b.Fatal(err)
						}
					case "find":
						s.Find(named("agent-0000000"))
					}
					i++
				}
			})
		}
	}
}
