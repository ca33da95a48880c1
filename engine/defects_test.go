package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine/internal/snapshot"
)

// The defects that engines of this kind have been seen to have, and the tests that would find them
// here:
//
//	 1 admission counts a part of what a request     TestAdmittedNeverFails,
//	   takes, and exhaustion discards a finished     testdata/sched/pool_full.txt
//	   answer
//	 2 an evicted memory's blocks stay taken         TestIdleMemoriesAreRoom
//	 3 the previous answer is computed again every   TestTimesAndMiss,
//	   turn                                          testdata/sched/continue.txt
//	 4 prefixes are compared as text, or dropped     TestTimesAndMiss,
//	   below half                                    testdata/sched/continue.txt
//	 5 agents with one system prompt overwrite each  TestSystemPromptIsStoredOnce,
//	   other, as do two requests of one agent        testdata/sched/same_agent_twice.txt
//	 6 another model's KV is used                    TestRestart, server/service TestFingerprint
//	 7 requests join when the batch is empty; a      TestLongDeltaBesideStream,
//	   long delta stalls all others                  testdata/sched/chunked.txt
//	 8 the queue has no end and changes order; a     TestRefusals, testdata/sched/fairness.txt,
//	   cancelled request is computed on; a rejected  TestCancel, server TestDisconnect,
//	   stream looks like success                     TestWireStates
//	 9 shutdown throws answers away                  TestDrain, TestDrainOutOfPatience
//	10 restoring takes a memory out of the pool,     TestRestoredIsHot, BenchmarkTTFT
//	   and is slower than it
//	11 files are published in part, and their names  TestKill, TestCorrupt, internal/snapshot
//	   are believed                                  TestSweep and TestDamage,
//	                                                 TestFileUnderAnotherName
//	12 prompts and answers are logged; answers are   TestNothingSaidIsLogged, server TestDecoder
//	   tidied up
//	13 advertised features do nothing: prefixes      TestSystemPromptIsStoredOnce
//	   shared, hits counted
//	14 a library's insides are patched               TestStandardLibraryOnly; metal uses public
//	                                                 headers
//	15 an exception in a step ends the engine,       TestModelFails
//	   unseen
//	16 with one more agent than places nothing hits  TestMoreAgentsThanPlaces
//	17 memories of a window cannot be cut and        TestRestoreWindow, FuzzMetamorphic's edits
//	   reused
//	18 a pool of two parts is called half empty      TestSlidingRefusals
//	   while one of them is full
//	19 an agent that never rests is never saved; a   TestNeverRests, TestTurnOutlivesTheNext,
//	   save that failed is not tried again; success  TestDiskFails, server/service
//	   is said before the disk has it                TestKillNeverRests and TestKillDurable

// Every admitted request ends as it should, though the pool is much too small for all at once.
func TestAdmittedNeverFails(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	e := start(t, Config{Model: newFake(), KVBytes: 160, BlockTokens: 4, MaxBatch: 32,
		StepTokens: 16, MaxQueue: 1000})
	taken, refused := 0, 0
	var all []*Stream
	for range 2000 {
		s, err := e.Submit(t.Context(), Request{Agent: fmt.Sprint(r.IntN(40)),
			Prompt: count(r.IntN(fakeVocab), 1+r.IntN(90)), MaxTokens: 1 + r.IntN(60)})
		if err == nil {
			taken++
			all = append(all, s)
			continue
		}
		if _, full := errors.AsType[*PoolError](err); !full {
			if _, full := errors.AsType[*QueueError](err); !full {
				t.Fatal(err)
			}
		}
		if refused++; len(all) > 0 { // as clients do
			drainTokens(all[0])
			all = all[1:]
		}
	}
	for _, s := range all {
		drainTokens(s)
	}
	st := e.Stats()
	t.Logf("%d taken, %d refused, %d blocks evicted, at most %d of %d used",
		taken, refused, st.Evictions, st.PeakUsed, st.Blocks)
	if st.Failed != 0 || int(st.Finished) != taken || st.Evictions == 0 || refused == 0 ||
		st.PeakUsed < st.Blocks*9/10 {
		t.Errorf("of %d taken: %+v", taken, st)
	}
	atRest(t, e)
}

// A pool full of idle memories is an empty pool to a new request.
func TestIdleMemoriesAreRoom(t *testing.T) {
	e := start(t, Config{Model: newFake(), KVBytes: 400, BlockTokens: 4})
	for i := range 8 {
		drainTokens(submit(t, e, t.Context(), fmt.Sprint(i), count(i, 50), 10))
	}
	if st := e.Stats(); st.Free > 10 || st.Utilization() != 0 {
		t.Errorf("after eight requests: %+v", st)
	}
	s := submit(t, e, t.Context(), "large", count(30, 350), 50)
	if got := drainTokens(s); len(got) != 50 || s.Result().Finish != FinishLength {
		t.Errorf("a request that needs all of the pool: %+v", s.Result())
	}
	atRest(t, e)
}

// A system prompt is computed and stored once for all requests that begin with it, at the same
// time or later, and the hits are counted.
func TestSystemPromptIsStoredOnce(t *testing.T) {
	const system, own, agents = 400, 8, 10
	e := start(t, Config{Model: newFake(), KVBytes: 4096, BlockTokens: 8})
	var all []*Stream
	prompt := func(i int) []int32 { return append(count(1, system), count(i*5, own)...) }
	for i := range agents {
		all = append(all, submit(t, e, t.Context(), fmt.Sprint(i), prompt(i), 1))
		if i == 4 { // half of them together, half later
			for _, s := range all {
				drainTokens(s)
			}
		}
	}
	cached := 0
	for i, s := range all {
		drainTokens(s)
		if r := s.Result(); i > 4 && (r.CachedTokens != system || r.Miss != "new_agent") {
			t.Errorf("agent %d: %+v", i, r)
		}
		cached += s.Result().CachedTokens
	}
	st := e.Stats()
	if want := system/8 + agents*own/8; st.Cached != want {
		t.Errorf("%d blocks are kept for %d agents, want %d", st.Cached, agents, want)
	}
	if st.CachedTokens != uint64(cached) || st.PromptTokens != agents*(system+own) ||
		st.FromCold == agents {
		t.Errorf("counted %+v, the requests say %d cached", st, cached)
	}
	for i := range agents { // and no agent has another's memory
		s := submit(t, e, t.Context(), fmt.Sprint(i), append(prompt(i), 7, 7), 4)
		got, want := drainTokens(s), greedy(append(prompt(i), 7, 7), 4)
		if !slices.Equal(got, want) || s.Result().CachedTokens != system+own {
			t.Errorf("agent %d: %v, want %v; %+v", i, got, want, s.Result())
		}
	}
}

// A long addition to a cached conversation is cut into chunks like any prompt, and a short
// request that comes after it joins the next step.
func TestLongDeltaBesideStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := machines[1]
		m.fakeModel = newFake()
		e := start(t, Config{Model: m, KVBytes: 1 << 13})
		prompt := count(1, 100)
		answer := drainTokens(submit(t, e, t.Context(), "disk", prompt, 4))
		stream := submit(t, e, t.Context(), "stream", count(3, 5), 400)
		alone := p95(gaps(stream, 50))
		long := submit(t, e, t.Context(), "disk", slices.Concat(prompt, answer, count(9, 1500)), 1)
		beside := gaps(stream, 20)
		short := submit(t, e, t.Context(), "short", count(7, 5), 1)
		first := <-short.Tokens()
		if first.Queue > 2*alone || first.Prefill > 3*alone {
			t.Errorf("a short question waited %v and took %v, a step takes %v",
				first.Queue, first.Prefill, alone)
		}
		beside = append(beside, gaps(stream, 20)...)
		if p := p95(beside); len(long.Tokens()) > 0 || p > 2*alone {
			t.Errorf("tokens came every %v beside a long delta, alone every %v", p, alone)
		}
		drainTokens(long)
		if r := long.Result(); r.CachedTokens != 103 {
			t.Errorf("%+v", r)
		}
	})
}

// A restored memory is in the pool from then on: the next turn reads no file.
func TestRestoredIsHot(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	prompt := count(1, 40)
	once(t, cfg, "ann", prompt)
	cfg.Model = newFake()
	e := start(t, cfg)
	for i, tier := range []string{"disk", "hot", "hot"} {
		s := submit(t, e, t.Context(), "ann", append(slices.Clone(prompt), int32(i)), 1)
		drainTokens(s)
		if r := s.Result(); r.Tier != tier || r.CachedTokens != 40 ||
			(tier == "hot") != (r.RestoredBytes == 0) {
			t.Errorf("request %d after a restart: %+v", i, r)
		}
	}
	if st := e.Stats(); st.Restores != 1 {
		t.Errorf("%d restores", st.Restores)
	}
}

// Agents take turns with fewer places than agents, and each finds what it left.
func TestMoreAgentsThanPlaces(t *testing.T) {
	const agents, places = 7, 2
	e := start(t, Config{Model: newFake(), KVBytes: 4096, BlockTokens: 4, MaxBatch: places})
	text := make([][]int32, agents)
	for turn := range 4 {
		var all []*Stream
		for i := range agents {
			text[i] = append(text[i], count(i*7+turn, 11)...)
			all = append(all, submit(t, e, t.Context(), fmt.Sprint(i), text[i], 3))
		}
		for i, s := range all {
			had := len(text[i]) - 11 - 1
			text[i] = append(text[i], drainTokens(s)...)
			if r := s.Result(); turn > 0 && r.CachedTokens != had {
				t.Errorf("agent %d in turn %d: %d cached, want %d", i, turn, r.CachedTokens, had)
			}
		}
	}
}

// A file under another agent's name belongs to no agent.
func TestFileUnderAnotherName(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	prompt := count(1, 18)
	once(t, cfg, "ann", prompt)
	file := filepath.Join(cfg.Dir, snapshot.FileName(named("bob").Agent))
	if err := os.Rename(memoryOf(t, cfg.Dir), file); err != nil {
		t.Fatal(err)
	}
	for _, agent := range []string{"bob", "ann"} {
		if _, r := once(t, cfg, agent, prompt); r.CachedTokens != 0 {
			t.Errorf("%s: %+v", agent, r)
		}
	}
	if bad, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.corrupt.bad")); len(bad) != 1 {
		t.Errorf("quarantined: %v", bad)
	}
}

// The engine knows conversations as token ids only, and it logs none of them, however badly
// things go.
func TestNothingSaidIsLogged(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, all)))
	defer slog.SetDefault(old)
	cfg := diskConfig(t.TempDir())
	prompt := []int32{41, 42, 43, 44, 45, 46, 47, 48}
	once(t, cfg, "ann", prompt)
	data, err := os.ReadFile(memoryOf(t, cfg.Dir))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-11] ^= 1 // of the first block, which the next turn begins with
	if err := os.WriteFile(memoryOf(t, cfg.Dir), data, 0o600); err != nil {
		t.Fatal(err)
	}
	once(t, cfg, "ann", append(prompt, 49, 50, 51, 52, 53))
	if !strings.Contains(log.String(), "set aside") {
		t.Error("the log does not say that a memory was of no use")
	}
	for _, said := range []string{"41 42", "41,42", "ann"} {
		if strings.Contains(log.String(), said) {
			t.Errorf("the log has %q:\n%s", said, log.String())
		}
	}
}

// A memory that was lost to room or to age is called evicted, whichever way it went.
func TestEvicted(t *testing.T) {
	prompt := count(1, 30)
	again := func(e *Engine, agent string) Result {
		s := submit(t, e, t.Context(), agent, append(slices.Clone(prompt), 5), 1)
		drainTokens(s)
		return s.Result()
	}
	hot := start(t, Config{Model: newFake(), KVBytes: 64, BlockTokens: 4})
	drainTokens(submit(t, hot, t.Context(), "ann", prompt, 1))
	drainTokens(submit(t, hot, t.Context(), "bob", count(31, 60), 4))
	if r := again(hot, "ann"); r.Miss != "evicted" || r.CachedTokens != 0 {
		t.Errorf("from the pool: %+v", r)
	}
	if r := again(hot, "cy"); r.Miss != "new_agent" {
		t.Errorf("a new agent: %+v", r)
	}

	// On disk there is room for one and a half. The pool is emptied by a restart.
	cfg := diskConfig(t.TempDir())
	once(t, cfg, "ann", prompt)
	info, err := os.Stat(memoryOf(t, cfg.Dir))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Model, cfg.DiskBytes = newFake(), info.Size()*3/2
	e := start(t, cfg)
	drainTokens(submit(t, e, t.Context(), "bob", count(31, 30), 1))
	if err := e.save(named("bob").Agent); err != nil {
		t.Fatal(err)
	}
	if r := again(e, "ann"); r.Miss != "evicted" || r.CachedTokens != 0 {
		t.Errorf("for another's file: %+v", r)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	// Two hours unused, when one is allowed: at the next start it is gone.
	file := memoryOf(t, cfg.Dir)
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	cfg.Model, cfg.TTL = newFake(), time.Hour
	e = start(t, cfg)
	if list, err := e.AllAgents(); err != nil || len(list) != 0 {
		t.Errorf("a memory that is too old is still there: %v, %v", list, err)
	}
	if files, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.memory")); len(files) != 0 {
		t.Errorf("and on disk: %v", files)
	}
	for _, agent := range []string{"ann", "bob"} {
		want := "new_agent" // of the two the one that was not in that file
		if filepath.Base(file) == snapshot.FileName(named(agent).Agent) {
			want = "evicted"
		}
		if r := again(e, agent); r.Miss != want {
			t.Errorf("%s, for its age: %+v, want %s", agent, r, want)
		}
	}
}

// While the disk is stuck answers go on, the memories that wait for it are bounded, and of those
// that are evicted beyond the bound only what was saved last is left. When the disk is back,
// everything that is left is saved.
func TestDiskIsSlow(t *testing.T) {
	cfg := diskConfig(t.TempDir())
	cfg.KVBytes, cfg.SaveAfter = 128, 1
	tap, e := tapped(t, cfg)
	stuck := make(chan struct{})
	tap.Before = changes(func() error { <-stuck; return nil })
	e.disk.writer.MaxUnsaved = 200
	e.start()
	for i := range 20 {
		prompt := count(i, 50)
		got := drainTokens(submit(t, e, t.Context(), fmt.Sprint(i), prompt, 4))
		if want := greedy(prompt, 4); !slices.Equal(got, want) {
			t.Errorf("agent %d: %v, want %v", i, got, want)
		}
		if n := e.Stats().UnsavedBytes; n > 200 {
			t.Errorf("%d bytes wait for the disk, 200 may", n)
		}
	}
	if st := e.Stats(); st.SaveFailures == 0 || st.Saves != 0 {
		t.Errorf("with a disk that is stuck: %+v", st)
	}
	close(stuck)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if st := e.Stats(); st.Saves == 0 || st.UnsavedBytes != 0 || st.DiskMemories == 0 {
		t.Errorf("with the disk back: %+v", st)
	}
}
