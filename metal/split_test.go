//go:build mlx

package metal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"loadstone/engine"
	"loadstone/engine/ref/oracle"
	"loadstone/internal/freeport"
)

// partVariable makes a process of the tests a part of a network: RANK,HOST:PORT,HOST:PORT.
const partVariable = "LOADSTONE_TEST_PART"

// testPart returns which part this process is in tests.
func testPart() (p Part) {
	if text := os.Getenv(partVariable); text != "" {
		rank, hosts, _ := strings.Cut(text, ",")
		p.Rank, _ = strconv.Atoi(rank)
		p.Hosts = strings.Split(hosts, ",")
	}
	return p
}

// runParts runs one test of this package in two processes, which are the parts of a network, and
// returns their outputs.
func runParts(t testing.TB, test string) (outputs []string) {
	t.Helper()
	hosts := []string{freeport.Consecutive(2), freeport.Consecutive(2)} // as Part wants them
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	outputs = make([]string, len(hosts))
	var all sync.WaitGroup
	for rank := range hosts {
		c := exec.CommandContext(ctx, os.Args[0], "-test.run", "^"+test+"$", "-test.v")
		c.Env = append(os.Environ(),
			fmt.Sprintf("%s=%d,%s", partVariable, rank, strings.Join(hosts, ",")))
		all.Go(func() {
			text, err := c.CombinedOutput()
			if outputs[rank] = string(text); err != nil {
				cancel() // or the other process would wait for this one
			}
		})
	}
	all.Wait()
	return outputs
}

// Two processes that each compute a part of a network give the logits of the oracles, for every
// family, in floats and quantised, by our kernels and by MLX's operations.
func TestParts(t *testing.T) {
	if !testPart().whole() {
		t.Skip("this process is a part itself")
	}
	passed := regexp.MustCompile(`--- PASS: TestOracles/(\S+)`)
	var first []string
	for rank, text := range runParts(t, "TestOracles") {
		var names []string
		for _, m := range passed.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		if !strings.Contains(text, "--- PASS: TestOracles ") {
			t.Fatalf("part %d:\n%s", rank, text)
		}
		if slices.Sort(names); rank == 0 {
			first = names
		} else if !slices.Equal(names, first) {
			t.Errorf("the parts have run %v and %v", first, names)
		}
	}
	for _, kind := range oracle.Kinds(t) {
		for _, way := range []string{"/kernels", "/graph"} {
			if !slices.Contains(first, kind+way) && !(onGPU() && way == "/kernels") {
				t.Errorf("%s%s was not split", kind, way)
			}
		}
	}
	quantised := regexp.MustCompile(`/(quantised|16_bits)`)
	if !slices.ContainsFunc(first, quantised.MatchString) {
		t.Error("no quantised network was split")
	}
}

// A real network that is split over two processes gives the greedy tokens that it gives in one
// process, in an engine, which also moves its KV; and a memory that was exported can be imported.
func TestPartsAnswer(t *testing.T) {
	dir := realModel(t, "smollm2")
	p := testPart()
	if p.whole() {
		whole := answers(t, dir, nil)
		texts := runParts(t, "TestPartsAnswer")
		if want := "answers: " + whole; !strings.Contains(texts[0], want) {
			t.Errorf("one process: %s\ntwo processes:\n%s\n%s", whole, texts[0], texts[1])
		}
		return
	}
	o := Options{Part: p, Activations: 16}
	if p.Rank > 0 {
		if err := Follow(t.Context(), dir, o); err != nil {
			t.Fatal(err)
		}
		return
	}
	lead, err := OpenLead(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("answers: " + answers(t, dir, lead))
}

// answers returns the tokens that m, or without m the network in dir, gives to two prompts at once,
// and then to the conversations that follow from them, after each was exported, forgotten and
// imported.
func answers(t *testing.T, dir string, m engine.Model) string {
	t.Helper()
	whole := m == nil
	if whole {
		own, err := Open(dir, Options{Activations: 16})
		if err != nil {
			t.Fatal(err)
		}
		m = own
	}
	e, err := engine.New(engine.Config{
		Model: m, KVBytes: 64 << 20, Dir: t.TempDir(), SaveAfter: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var text bytes.Buffer
	var streams []*engine.Stream
	for i, prompt := range prompts {
		s, err := e.Submit(t.Context(), engine.Request{
			Agent: fmt.Sprint(i), Prompt: prompt, MaxTokens: 32,
		})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for _, s := range streams {
		for token := range s.Tokens() {
			fmt.Fprint(&text, token.ID, " ")
		}
		if r := s.Result(); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	p := e.Principal("")
	for i := range prompts {
		var file bytes.Buffer
		if err := p.Export(fmt.Sprint(i), &file); err != nil {
			t.Fatal(err)
		}
		if err := p.Forget(fmt.Sprint(i)); err != nil && !errors.Is(err, engine.ErrNoMemory) {
			t.Fatal(err)
		}
		if _, err := p.Import(&file); err != nil {
			t.Fatal(err)
		}
		tokens, err := p.Tokens(fmt.Sprint(i), "")
		if err != nil {
			t.Fatal(err)
		}
		s, err := e.Submit(t.Context(), engine.Request{
			Agent: fmt.Sprint(i), Prompt: append(tokens, 198), MaxTokens: 16,
		})
		if err != nil {
			t.Fatal(err)
		}
		for token := range s.Tokens() {
			fmt.Fprint(&text, token.ID, " ")
		}
		if r := s.Result(); r.Err != nil || r.Tier != engine.TierDisk {
			t.Fatalf("%v, from %s", r.Err, r.Tier)
		}
	}
	return text.String()
}

// prompts are two texts as SmolLM2's tokenizer encodes them.
var prompts = [][]int32{
	{504, 2365, 6354, 16438, 27003, 690, 260, 23790, 2767, 30, 198, 504, 2988, 282, 4649, 314},
	{9602, 314, 253, 1736, 338, 314, 1343, 411, 260, 3280, 282, 260, 905, 28, 284, 357},
}

// The share of each part is a whole number of heads and of groups, and the shares of all parts
// together are the layer.
func TestShares(t *testing.T) {
	for _, c := range []struct{ parts, heads, kv, inner, experts int }{
		{2, 9, 3, 1536, 0}, {2, 4, 1, 2048, 0}, {3, 32, 8, 8192, 0}, {8, 32, 8, 14336, 0},
		{4, 8, 2, 96, 768}, {2, 7, 1, 64, 32}, {16, 32, 8, 4096, 0},
	} {
		last := layerShare{}
		var kv []int
		for rank := range c.parts {
			s, err := shareOf(rank, c.parts, c.heads, c.kv, c.inner, c.experts)
			if err != nil {
				t.Fatal(err)
			}
			if s.heads.from != last.heads.to || s.inner.from != last.inner.to ||
				s.experts.from != last.experts.to {
				t.Errorf("%v: part %d has %+v, the one before %+v", c, rank, s, last)
			}
			if s.heads.n()%s.kv.n() != 0 || s.heads.n() == 0 || s.inner.n() == 0 {
				t.Errorf("%v: part %d has %+v", c, rank, s)
			}
			for h := s.heads.from; h < s.heads.to; h++ {
				of := h / (c.heads / c.kv) // the KV head of query head h, as the network has it
				if own := s.kv.from + (h-s.heads.from)/(s.heads.n()/s.kv.n()); own != of {
					t.Errorf("%v: head %d of part %d has KV head %d for %d", c, h, rank, own, of)
				}
			}
			for k := s.kv.from; k < s.kv.to; k++ {
				kv = append(kv, k)
			}
			last = s
		}
		if kv = slices.Compact(kv); len(kv) != c.kv {
			t.Errorf("%v: KV heads %v", c, kv)
		}
		if last.heads.to != c.heads || last.inner.to != c.inner || last.experts.to != c.experts {
			t.Errorf("%v: the last part has %+v", c, last)
		}
	}
	for want, c := range map[string]struct{ parts, heads, kv, inner int }{
		"3 parts: 2 KV heads are no divisor of that": {3, 8, 2, 1024},
		"8 parts: it has 4 heads":                    {8, 4, 1, 1024},
		"4 parts: an MLP has 3 inner numbers":        {4, 4, 4, 3},
	} {
		want = "mlx: the network cannot be split into " + want
		_, err := shareOf(0, c.parts, c.heads, c.kv, c.inner, 0)
		if split := (*SplitError)(nil); !errors.As(err, &split) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
