package engine

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// A fatFake's KV takes 4 KiB a token, all of which repeat the token, so that files are larger
// than one write.
type fatFake struct{ *fakeModel }

const fat = 4096

func (m fatFake) KVBytesPerToken() (global, window int) { return fat, 0 }

func (m fatFake) ReadKV(block, window, tokens int, dst []byte) error {
	thin := make([]byte, tokens)
	if err := m.fakeModel.ReadKV(block, window, tokens, thin); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = thin[i/fat]
	}
	return nil
}

func (m fatFake) WriteKV(block, window, tokens int, src []byte) error {
	thin := make([]byte, tokens)
	for i := range src {
		if thin[i/fat] = src[i]; src[i] != src[i/fat*fat] {
			return fmt.Errorf("byte %d of a token's KV is %d, the first %d",
				i%fat, src[i], src[i/fat*fat])
		}
	}
	return m.fakeModel.WriteKV(block, window, tokens, thin)
}

func killConfig(dir string) Config {
	return Config{Model: fatFake{newFake()}, KVBytes: 16 << 20, BlockTokens: 8, Dir: dir,
		Fingerprint: "fake", SaveAfter: 1}
}

// conversation returns the past of an agent after some turns, and its next prompt.
func conversation(agent, turns int) (past, prompt []int32) {
	for k := range turns + 1 {
		prompt = slices.Concat(past, count(agent*13+k, 40))
		if k < turns {
			past = slices.Concat(prompt, greedy(prompt, 4))
		}
	}
	return past, prompt
}

// turnsOf returns how many turns a memory of some tokens has; it lacks the last token of the last
// answer.
func turnsOf(tokens int) (turns int, ok bool) {
	return (tokens + 1) / 44, tokens == 0 || (tokens+1)%44 == 0
}

const killAgents = 4

// A process that saves all the time is killed at an arbitrary point. The memory that it leaves of
// each agent ends with a whole turn, none older than the one that was there before, and the next
// turn is answered from it as if nothing had happened.
func TestKill(t *testing.T) {
	if dir := os.Getenv("LOADSTONE_TEST_KILL"); dir != "" {
		saveForEver(t, dir)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	var had [killAgents]int
	for range 15 {
		cmd := exec.Command(exe, "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "LOADSTONE_TEST_KILL="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The process prints a byte before each change of the disk, and goes on at once.
		n := int64(rng.IntN(50))
		_, err = io.CopyN(io.Discard, out, n)
		cmd.Process.Kill()
		cmd.Wait()
		if err != nil {
			t.Fatalf("the process ended by itself: %v", err)
		}
		lookAfterKill(t, dir, &had)
	}
	if had[0] < 3 {
		t.Errorf("only %d turns were saved: the test has seen too little", had[0])
	}
}

// saveForEver has all agents take a turn and saves them, from where they were.
func saveForEver(t *testing.T, dir string) {
	tap, e := tapped(t, killConfig(dir))
	tap.Before = changes(func() error {
		os.Stdout.Write([]byte{'.'})
		return nil
	})
	e.start()
	for {
		var agents sync.WaitGroup
		for i := range killAgents {
			agents.Go(func() {
				m, _ := e.Principal("").Inspect(fmt.Sprint(i))
				turns, _ := turnsOf(m.Tokens)
				_, prompt := conversation(i, turns)
				drainTokens(submit(t, e, t.Context(), fmt.Sprint(i), prompt, 4))
				e.save(named(fmt.Sprint(i)).Agent)
			})
		}
		agents.Wait()
	}
}

// lookAfterKill checks what is on disk. had has the number of turns of each agent at the last
// look.
func lookAfterKill(t *testing.T, dir string, had *[killAgents]int) {
	t.Helper()
	e, err := New(killConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, pattern := range []string{"*.bad", "*.tmp"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("after kill -9: %v", left)
		}
	}
	for i := range had {
		m, err := e.Principal("").Inspect(fmt.Sprint(i))
		if err != nil {
			if had[i] > 0 {
				t.Errorf("agent %d had %d turns: %v", i, had[i], err)
			}
			continue
		}
		turns, whole := turnsOf(m.Tokens)
		if !whole || turns < had[i] {
			t.Errorf("agent %d has %d tokens, no whole turn or less than %d", i, m.Tokens, had[i])
		}
		_, prompt := conversation(i, turns)
		s := submit(t, e, t.Context(), fmt.Sprint(i), prompt, 4)
		if got, want := drainTokens(s), greedy(prompt, 4); !slices.Equal(got, want) {
			t.Errorf("agent %d: answer %v, want %v", i, got, want)
		}
		if r := s.Result(); r.Tier != "disk" || r.CachedTokens != m.Tokens || r.Miss != "" {
			t.Errorf("agent %d with %d tokens: %+v", i, m.Tokens, r)
		}
		had[i] = turns + 1 // and this turn is saved when the engine ends
	}
}
