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
	guest, err := world.Open(t.Context(), t.TempDir(), world.Build{Overlay: overlay})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	var mu sync.Mutex
	cases := map[Row]string{}
	t.Run("bugs", func(t *testing.T) {
		for _, b := range bugs {
			if !slices.ContainsFunc(b.Edits, inGuest) {
				continue
			}
			t.Run(b.Name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				in := hunted(t, guest, b)
				mu.Lock()
				defer mu.Unlock()
				cases[Row{b.Name, inSeeds}] = in
				t.Logf("%q, %.1f s", in, time.Since(began).Seconds())
			})
		}
	})
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

// hunted plays seeds with a bug until one fails, and returns what to say of it, "" if none does.
func hunted(t *testing.T, guest *world.Guest, b *Bug) string {
	with, err := guest.With(t.Context(), Switch+"="+b.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	for seed := 1; seed <= *inWorld; seed++ {
		r, err := with.Run(t.Context(), script.Draw(uint64(seed)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if r.Invariant != "" {
			return fmt.Sprintf("seed %d: %s", seed, r.Invariant)
		}
	}
	return ""
}
