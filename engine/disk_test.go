package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/internal/files"
	"loadstone/internal/files/filestest"
)

func diskConfig(dir string) Config {
	return Config{Model: newFake(), KVBytes: 256, BlockTokens: 4, StepTokens: 16, Dir: dir,
		Fingerprint: "fake"}
}

// tapped returns an engine that has not started, and its file system.
func tapped(t *testing.T, cfg Config) (*filestest.Tap, *Engine) {
	t.Helper()
	tap := &filestest.Tap{System: files.OS{}}
	cfg.Files = tap
	e, err := newEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tap, e
}

// changes returns a function for a Tap that calls f before each change of the disk.
func changes(f func() error) func(filestest.Op, string) error {
	return func(op filestest.Op, _ string) error {
		if op.Changes() && op != filestest.Touch {
			return f()
		}
		return nil
	}
}

// once runs an engine for one request and closes it.
func once(t *testing.T, cfg Config, agent string, prompt []int32) ([]int32, Result) {
	t.Helper()
	cfg.Model = newFake()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := submit(t, e, t.Context(), agent, prompt, 4)
	got := drainTokens(s)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if want := greedy(prompt, 4); !slices.Equal(got, want) {
		t.Errorf("answer %v, want %v; %+v", got, want, s.Result())
	}
	return got, s.Result()
}

func TestRestart(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	prompt := count(1, 18)
	answer, r := once(t, cfg, "ann", prompt)
	if r.Tier != "cold" || r.Miss != "new_agent" {
		t.Errorf("first turn %+v", r)
	}
	next := slices.Concat(prompt, answer, count(7, 3))
	_, r = once(t, cfg, "ann", next)
	if r.Tier != "disk" || r.CachedTokens != 21 || r.RestoredBytes != 21 || r.Miss != "" ||
		r.Restore <= 0 || r.Restore > r.Prefill {
		t.Errorf("after a restart %+v, want 21 tokens restored", r)
	}
	// Only the block in which the prompt leaves the memory, and those before it, are read.
	edited := slices.Concat(prompt[:6], count(40, 9))
	if _, r = once(t, cfg, "ann", edited); r.CachedTokens != 6 || r.RestoredBytes != 8 ||
		r.Miss != "diverged_at=6" {
		t.Errorf("edited %+v, want 6 tokens of 8 restored", r)
	}
	if _, r = once(t, cfg, "bob", edited); r.Miss != "new_agent" || r.CachedTokens != 0 {
		t.Errorf("another agent: %+v", r)
	}
	cfg.Fingerprint = "other"
	if _, r = once(t, cfg, "ann", edited); r.Miss != "model_changed" || r.CachedTokens != 0 {
		t.Errorf("another model: %+v", r)
	}
	if bad, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.model_changed.bad")); len(bad) != 1 {
		t.Errorf("quarantined: %v", bad)
	}
}

// memoryOf returns the one memory file in a directory.
func memoryOf(t *testing.T, dir string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.memory"))
	if len(files) != 1 {
		t.Fatalf("memory files: %v", files)
	}
	return files[0]
}

// A damaged file is set aside and its tokens are computed again.
func TestCorrupt(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	prompt := count(1, 18)
	answer, _ := once(t, cfg, "ann", prompt)
	next := slices.Concat(prompt, answer, count(7, 3))
	file := memoryOf(t, cfg.Dir)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("memory file has mode %v", info.Mode())
	}

	// The damage is in the third block: the blocks before it are of use.
	bad := slices.Clone(good)
	bad[len(bad)-12] ^= 1
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, r := once(t, cfg, "ann", next); r.Miss != "corrupt" || r.CachedTokens != 8 {
		t.Errorf("restore of a damaged file: %+v, want 8 tokens and corrupt", r)
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.corrupt.bad")); len(left) != 1 {
		t.Errorf("quarantined: %v", left)
	}
	if _, r := once(t, cfg, "ann", next); r.Tier != "disk" || r.CachedTokens != len(next)-1 {
		t.Errorf("after it was computed anew: %+v", r)
	}
}

// An export that finds a file damaged sets it aside, as a turn does. What the pool has of the
// memory is saved anew; what it has not, the agent's next turn computes, and says why.
func TestExportOfDamaged(t *testing.T) {
	for _, hot := range []bool{true, false} {
		for place, fromEnd := range map[string]int{"last block": 12, "header": -20} {
			t.Run(fmt.Sprintf("hot=%v, %s", hot, place), func(t *testing.T) {
				exportDamaged(t, hot, fromEnd)
			})
		}
	}
}

func exportDamaged(t *testing.T, hot bool, fromEnd int) {
	cfg := diskConfig(t.TempDir())
	e := start(t, cfg)
	prompt := count(1, 18)
	answer := drainTokens(submit(t, e, t.Context(), "ann", prompt, 4))
	next := slices.Concat(prompt, answer, count(7, 3))
	export := func() ([]byte, error) {
		var b bytes.Buffer
		err := e.Principal("").Export("ann", &b)
		return b.Bytes(), err
	}
	sound, err := export()
	if err != nil {
		t.Fatal(err)
	}
	if !hot {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = start(t, cfg)
	}
	file := memoryOf(t, cfg.Dir)
	bad := slices.Clone(sound)
	bad[(len(bad)-fromEnd)%len(bad)] ^= 1
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := export(); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("an export of a damaged file: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.corrupt.bad")); len(left) != 1 {
		t.Errorf("set aside: %v", left)
	}
	_, err = export()
	tier, miss, cached := TierHot, "", len(prompt)+len(answer)-1
	if hot {
		if saved := len(savedTokens(e, "ann")); err != nil || saved != len(prompt)+len(answer) {
			t.Errorf("the next export: %v; %d tokens on disk", err, saved)
		}
	} else {
		if !errors.Is(err, ErrNoMemory) {
			t.Errorf("the next export: %v", err)
		}
		tier, miss, cached = TierCold, "corrupt", 0
	}
	s := submit(t, e, t.Context(), "ann", next, 4)
	if got, want := drainTokens(s), greedy(next, 4); !slices.Equal(got, want) {
		t.Errorf("answer %v, want %v", got, want)
	}
	if r := s.Result(); r.Tier != tier || r.Miss != miss || r.CachedTokens != cached {
		t.Errorf("the next turn: %+v, want %d tokens, %s, %q", r, cached, tier, miss)
	}
	if _, err := export(); err != nil {
		t.Errorf("after the next turn: %v", err)
	}
	drainTokens(submit(t, e, t.Context(), "bob", next, 4))
	s = submit(t, e, t.Context(), "ann", count(40, 5), 4)
	if drainTokens(s); s.Result().Miss == "corrupt" {
		t.Errorf("a turn after that: %+v", s.Result())
	}
}

// A pinned agent whose file is damaged stays pinned, before its next memory is on disk and after.
func TestPinOfDamaged(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	cfg.SaveAfter = time.Hour
	e := start(t, cfg)
	drainTokens(submit(t, e, t.Context(), "ann", count(1, 18), 4))
	if err := errors.Join(e.Principal("").Pin("ann"), e.Close()); err != nil {
		t.Fatal(err)
	}
	file := memoryOf(t, cfg.Dir)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-12] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	e = start(t, cfg)
	s := submit(t, e, t.Context(), "ann", count(1, 19), 4)
	if drainTokens(s); s.Result().Miss != "corrupt" {
		t.Fatalf("the damage is not found: %+v", s.Result())
	}
	for _, saved := range []bool{false, true} {
		m, err := e.Principal("").Inspect("ann")
		if err != nil || m.Saved != saved || !m.Pinned {
			t.Errorf("%+v, %v; want saved %t, and pinned", m, err, saved)
		}
		if list, err := e.AllAgents(); err != nil || len(list) != 1 || !list[0].Pinned {
			t.Errorf("listed: %+v, %v", list, err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = start(t, cfg)
	}
}

// A memory is saved when it has rested for SaveAfter, not before, and not once for every turn.
func TestSaveWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.SaveAfter = 10 * time.Second
		e := start(t, cfg)
		text := count(1, 9)
		for range 3 {
			text = append(text, drainTokens(submit(t, e, t.Context(), "ann", text, 3))...)
			time.Sleep(9 * time.Second)
			synctest.Wait()
			if st := e.Stats(); st.Saves != 0 || st.DiskMemories != 0 {
				t.Errorf("saved after 9 s: %+v", st)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if st := e.Stats(); st.Saves != 1 || st.DiskMemories != 1 || st.UnsavedBytes != 0 ||
			st.SaveFailures != 0 {
			t.Errorf("after 10 s of rest: %+v", st)
		}
		if m, err := e.Principal("").Inspect("ann"); err != nil || m.Tier != "hot" || !m.Saved ||
			m.Tokens != len(text)-1 {
			t.Errorf("inspect: %+v, %v", m, err)
		}
	})
}

// Evicted unsaved memories fall to the disk, not to nothing.
func TestEvictedIsSaved(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	cfg.SaveAfter = time.Hour
	e := start(t, cfg)
	prompt := count(1, 100)
	answer := drainTokens(submit(t, e, t.Context(), "ann", prompt, 4))
	drainTokens(submit(t, e, t.Context(), "bob", count(31, 100), 4))
	drainTokens(submit(t, e, t.Context(), "cy", count(17, 150), 4)) // takes all of ann's and more
	next := slices.Concat(prompt, answer, count(3, 3))
	s := submit(t, e, t.Context(), "ann", next, 4)
	if got, want := drainTokens(s), greedy(next, 4); !slices.Equal(got, want) {
		t.Errorf("answer %v, want %v", got, want)
	}
	if r := s.Result(); r.Tier != "disk" || r.CachedTokens != 103 {
		t.Errorf("after eviction %+v, want 103 tokens, restored", r)
	}
}

// A memory of sliding layers is saved with the window slots at its end alone, and is restored
// behind those of its first blocks that others have left in the pool. Where the prompt leaves the
// memory before its end, the memory is of use from where its last request began, or from the end
// of that one's prompt.
func TestRestoreWindow(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	boot := func() *Engine {
		m := newFake()
		m.window = 9
		cfg.Model, cfg.KVBytes, cfg.StepTokens = m, 512, 1
		return start(t, cfg)
	}
	e := boot()
	system := count(1, 10)
	text := slices.Concat(system, count(30, 25))
	text = append(text, drainTokens(submit(t, e, t.Context(), "ann", text, 4))...)
	var file, later bytes.Buffer
	if err := e.Principal("").Export("ann", &file); err != nil {
		t.Fatal(err)
	}
	question := slices.Concat(text, count(50, 3))
	drainTokens(submit(t, e, t.Context(), "ann", question, 4))
	if err := errors.Join(e.Principal("").Export("ann", &later), e.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		shared, prompt []int32
		cached         int
		bytes          int64
		tier, miss     string
	}{
		// Tokens 28 to 37 are with a window slot.
		{"alone", nil, slices.Concat(text, count(50, 3)), 38, 38 + 10, "disk", ""},
		{"behind a shared prefix", slices.Concat(system, count(7, 5)),
			slices.Concat(text, count(50, 3)), 38, 30 + 10, "disk", ""},
		{"left within the last block", nil, slices.Concat(text[:37], count(50, 3)), 37, 38 + 10,
			"disk", "diverged_at=37"},
		{"left early", nil, slices.Concat(text[:20], count(50, 3)), 0, 0, "cold", "diverged_at=20"},
		{"left early, behind a shared prefix", slices.Concat(system, count(7, 5)),
			slices.Concat(text[:20], count(50, 3)), 8, 0, "hot", "diverged_at=20"},
		{"asked again", nil, text[:35], 34, 36 + 12, "disk", ""}, // tokens 24 to 35
		{"asked again, behind a shared prefix", slices.Concat(system, count(7, 5)), text[:35], 34,
			28 + 12, "disk", ""},
		{"asked in part", nil, text[:31], 0, 0, "cold", "evicted"},
		// Tokens 36 to 44.
		{"later, alone", nil, slices.Concat(question, greedy(question, 4), count(7, 2)), 45, 45 + 9,
			"disk", ""},
		// Tokens 32 to 43.
		{"later, asked again", nil, question, 41, 44 + 12, "disk", ""},
		// Tokens 28 to 39.
		{"later, edited", nil, slices.Concat(text, count(20, 3)), 39, 40 + 12, "disk",
			"diverged_at=39"},
		{"later, edited before that", nil, slices.Concat(text[:34], count(20, 3)), 0, 0, "cold",
			"diverged_at=34"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := boot()
			defer e.Close()
			saved := file.Bytes()
			if strings.HasPrefix(c.name, "later") {
				saved = later.Bytes()
			}
			if _, err := e.Principal("").Import(bytes.NewReader(saved)); err != nil {
				t.Fatal(err)
			}
			if c.shared != nil {
				drainTokens(submit(t, e, t.Context(), "", c.shared, 2))
			}
			s := submit(t, e, t.Context(), "ann", c.prompt, 4)
			if got, want := drainTokens(s), greedy(c.prompt, 4); !slices.Equal(got, want) {
				t.Errorf("answer %v, want %v", got, want)
			}
			if r := s.Result(); r.CachedTokens != c.cached || r.RestoredBytes != c.bytes ||
				r.Tier != c.tier || r.Miss != c.miss {
				t.Errorf("%+v, want %d tokens from %s, %d bytes restored, %q",
					r, c.cached, c.tier, c.bytes, c.miss)
			}
		})
	}

	// Damage in the window at the end leaves nothing of use, because the blocks before it have no
	// window slots; and so does damage in the last chunk, the earlier block, for a request that
	// needs that one.
	name := memoryOf(t, cfg.Dir)
	for at, prompt := range map[int][]int32{8 + 5: text, 5: text[:35]} {
		bad := slices.Clone(file.Bytes())
		bad[len(bad)-at] ^= 1
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		e = boot()
		s := submit(t, e, t.Context(), "ann", prompt, 4)
		if got, want := drainTokens(s), greedy(prompt, 4); !slices.Equal(got, want) {
			t.Errorf("answer %v, want %v", got, want)
		}
		if r := s.Result(); r.CachedTokens != 0 || r.RestoredBytes != 0 || r.Tier != "cold" ||
			r.Miss != "corrupt" {
			t.Errorf("damaged %d bytes before the end: %+v, want nothing restored", at, r)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExportImport(t *testing.T) {
	here, there := start(t, diskConfig(t.TempDir())), start(t, diskConfig(t.TempDir()))
	prompt := count(1, 18)
	agent := "../../etc/passwd\xff\x00"
	answer := drainTokens(submit(t, here, t.Context(), agent, prompt, 4))
	var file bytes.Buffer
	if err := here.Principal("").Export(agent, &file); err != nil {
		t.Fatal(err)
	}
	n := int(file.Bytes()[0]) | int(file.Bytes()[1])<<8
	if !json.Valid(file.Bytes()[8 : 8+n]) {
		t.Error("the header is not JSON")
	}
	whole := file.Bytes()
	for _, bad := range [][]byte{nil, whole[:20], whole[:len(whole)-1],
		append(slices.Clone(whole), 1), bytes.Replace(whole, []byte("fake"), []byte("evil"), 1)} {
		if _, err := there.Principal("").Import(bytes.NewReader(bad)); err == nil {
			t.Errorf("took in %d bytes of %d", len(bad), len(whole))
		}
	}
	if list, err := there.AllAgents(); err != nil || len(list) != 0 {
		t.Errorf("after what was refused: %v, %v", list, err)
	}
	m, err := there.Principal("").Import(bytes.NewReader(whole))
	if err != nil || m.Agent != agent || m.Tokens != 21 || m.Tier != "disk" {
		t.Fatalf("import: %+v, %v", m, err)
	}
	next := slices.Concat(prompt, answer, count(3, 3))
	s := submit(t, there, t.Context(), agent, next, 4)
	if got, want := drainTokens(s), greedy(next, 4); !slices.Equal(got, want) ||
		s.Result().CachedTokens != 21 {
		t.Errorf("answer %v, want %v; %+v", got, want, s.Result())
	}
	if err := there.Principal("").Pin(agent); err != nil {
		t.Error(err)
	}
	if list, err := there.AllAgents(); err != nil || len(list) != 1 || !list[0].Pinned ||
		list[0].Tier != "hot" {
		t.Errorf("agents: %+v, %v", list, err)
	}
	if err := there.Principal("").Forget(agent); err != nil {
		t.Error(err)
	}
	if err := there.Principal("").Forget(agent); !errors.Is(err, ErrNoMemory) {
		t.Errorf("forgotten twice: %v", err)
	}
	if _, err := there.Principal("").Inspect(agent); !errors.Is(err, ErrNoMemory) {
		t.Errorf("inspect of a forgotten one: %v", err)
	}
	if files, _ := os.ReadDir(there.cfg.Dir); len(files) != 1 || files[0].Name() != "lock" {
		t.Errorf("left: %v", files)
	}
}

// A created agent is there at once and after a restart, once, and its first request is a new
// agent's.
func TestCreate(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	e := start(t, cfg)
	if m, err := e.Principal("").Create("ann", false); err != nil || m.Agent != "ann" || m.Tokens != 0 || !m.Saved ||
		m.Tier != "disk" || m.Created.IsZero() {
		t.Errorf("created: %+v, %v", m, err)
	}
	if _, err := e.Principal("").Create("ann", false); !errors.Is(err, ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	drainTokens(submit(t, e, t.Context(), "bob", count(1, 9), 1))
	if _, err := e.Principal("").Create("bob", false); !errors.Is(err, ErrExists) {
		t.Errorf("created over a memory in the pool: %v", err)
	}
	var file bytes.Buffer
	if err := errors.Join(e.Principal("").Pin("ann"), e.Principal("").Export("ann", &file), e.Close()); err != nil {
		t.Fatal(err)
	}
	again := start(t, cfg)
	m, err := again.Principal("").Inspect("ann")
	if err != nil || !m.Pinned || m.Tokens != 0 {
		t.Errorf("after a restart: %+v, %v", m, err)
	}
	s := submit(t, again, t.Context(), "ann", count(1, 18), 4)
	if drainTokens(s); s.Result().Miss != "new_agent" || s.Result().Tier != "cold" {
		t.Errorf("the first request: %+v", s.Result())
	}
	if now, err := again.Principal("").Inspect("ann"); err != nil || now.Tokens != 21 ||
		!now.Created.Equal(m.Created) || !now.Pinned {
		t.Errorf("after it: %+v, %v", now, err)
	}
	there := start(t, diskConfig(t.TempDir()))
	if m, err := there.Principal("").Import(&file); err != nil || m.Agent != "ann" || m.Tokens != 0 {
		t.Errorf("import: %+v, %v", m, err)
	}
	if _, err := start(t, Config{Model: newFake()}).Principal("").Create("ann", false); !errors.Is(err, ErrNoDir) {
		t.Errorf("without a directory: %v", err)
	}
}

// An unused memory is off the disk when its time is over, though no request comes; a pinned one
// stays until it is unpinned.
func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := diskConfig(t.TempDir())
		cfg.TTL = time.Hour
		e := start(t, cfg)
		for _, agent := range []string{"ann", "bob"} {
			drainTokens(submit(t, e, t.Context(), agent, count(len(agent), 20), 3))
		}
		if err := e.Principal("").Pin("bob"); err != nil {
			t.Fatal(err)
		}
		there := func(want int) {
			t.Helper()
			synctest.Wait()
			files, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.memory"))
			if len(files) != want || e.Stats().DiskMemories != want {
				t.Errorf("%d files and %d counted, want %d",
					len(files), e.Stats().DiskMemories, want)
			}
		}
		time.Sleep(59 * time.Minute)
		there(2)
		time.Sleep(2 * time.Minute)
		there(1)
		time.Sleep(24 * time.Hour)
		there(1)
		if err := e.Principal("").Unpin("bob"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		there(0)
	})
}

// Tokens returns all tokens of a conversation, also the last one, whose KV has not been computed,
// wherever the memory is: in the pool, on its way to the disk, on the disk, or imported.
func TestTokens(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	e := start(t, cfg)
	expectTokens := func(e *Engine, where string, want []int32) {
		t.Helper()
		if got, err := e.Principal("").Tokens("ann", ""); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", where, got, err, want)
		}
	}
	expectTokens(e, "before the first request", nil)
	text := count(1, 9)
	text = append(text, drainTokens(submit(t, e, t.Context(), "ann", text, 3))...)
	expectTokens(e, "in the pool", text)
	for i := range 8 { // they evict her
		drainTokens(submit(t, e, t.Context(), fmt.Sprint("bob", i), count(20+i, 60), 3))
	}
	if err := e.call(func() {
		if c := e.sched.store.Agent(named("ann").Agent); !c.Partial() {
			t.Errorf("she is still in the pool: %+v", c)
		}
	}); err != nil {
		t.Fatal(err)
	}
	expectTokens(e, "evicted", text)
	var file bytes.Buffer
	if err := e.Principal("").Export("ann", &file); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Model = newFake()
	e = start(t, cfg)
	expectTokens(e, "after a restart", text)
	if m, err := e.Principal("").Inspect("ann"); err != nil || m.Tier != "disk" || m.Tokens != len(text)-1 {
		t.Errorf("she was restored: %+v, %v", m, err)
	}
	other := start(t, diskConfig(t.TempDir()))
	if _, err := other.Principal("").Import(&file); err != nil {
		t.Fatal(err)
	}
	expectTokens(other, "imported", text)
	if err := other.Principal("").Forget("ann"); err != nil {
		t.Fatal(err)
	}
	expectTokens(other, "forgotten", nil)
}
