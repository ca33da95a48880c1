//go:build !mlx

package planted

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"loadstone/internal/world"
	"loadstone/internal/world/script"
)

var inWorld = flag.Int("world", 0, "play so many seeds of package world with each bug")

// TestWorld notes which bugs package world finds, and with -update writes that into README.md.
func TestWorld(t *testing.T) {
	if *inWorld == 0 {
		t.Skip("no -world SEEDS: it takes minutes")
	}
	bugs, _, overlay := plantAll(t, t.TempDir())
	guest, err := world.Open(t.Context(), t.TempDir(),
		world.Build{Overlay: overlay, Native: world.Processes()})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	var (
		mu    sync.Mutex
		cases = map[Row]string{}
		seeds = sound(t, guest)
		found int
		took  time.Duration // of all bugs together
	)
	t.Run("bugs", func(t *testing.T) {
		for _, b := range bugs {
			if !slices.ContainsFunc(b.Edits, inGuest) {
				continue
			}
			t.Run(b.Name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				seed, invariant := hunted(t, guest, b, seeds)
				mu.Lock()
				defer mu.Unlock()
				took += time.Since(began)
				row := Row{b.Name, inSeeds}
				if cases[row] = fmt.Sprintf("none of %d", len(seeds)); seed > 0 {
					cases[row], found = fmt.Sprintf("seed %d: %s", seed, invariant), found+1
				}
				t.Logf("%q, %.1f s", cases[row], time.Since(began).Seconds())
			})
		}
	})
	t.Logf("%d of %d bugs are found in %d seeds each, %.0f s of play", found, len(cases), *inWorld,
		took.Seconds())
	if *update && !t.Failed() {
		text, err := os.ReadFile("README.md")
		if err != nil {
			t.Fatal(err)
		}
		all := ReadTable(string(text))
		maps.Copy(all, cases)
		if err := os.WriteFile("README.md", []byte(Table(bugs, all)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// inGuest reports whether the world's guest has the file of an edit.
func inGuest(e Edit) bool {
	for _, dir := range []string{"engine/", "server/", "internal/files/", "internal/seal/"} {
		if strings.HasPrefix(e.File, dir) {
			return true
		}
	}
	return false
}

// sound returns the seeds that fail in nothing without a bug.
func sound(t *testing.T, guest *world.Guest) (seeds []int) {
	for seed := 1; seed <= *inWorld; seed++ {
		r, err := guest.Run(t.Context(), script.Draw(uint64(seed)))
		switch {
		case err != nil:
			t.Fatalf("seed %d: %v", seed, err)
		case r.Invariant != "":
			t.Logf("seed %d fails without a bug: %s: %s", seed, r.Invariant, r.Reason)
		default:
			seeds = append(seeds, seed)
		}
	}
	return seeds
}

// hunted plays seeds with a bug until one fails, and returns that and its invariant; 0: none does.
func hunted(t *testing.T, guest *world.Guest, b *Bug, seeds []int) (seed int, invariant string) {
	with, err := guest.With(t.Context(), Switch+"="+b.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	for _, seed := range seeds {
		r, err := with.Run(t.Context(), script.Draw(uint64(seed)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if r.Invariant != "" {
			return seed, r.Invariant
		}
	}
	return 0, ""
}
