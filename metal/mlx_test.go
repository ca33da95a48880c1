//go:build mlx

package metal

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// tolerance is the largest difference between logits of the tiny networks, which are of the order
// of 10, whose sums were taken in different orders.
const tolerance = 2e-4

// within returns the tolerance of a KV format. Sums in another order make some elements of keys and
// values round to the next number of the format, and the logits differ accordingly.
func within(kv string) float64 {
	switch kv {
	case "f16":
		return 0.01
	case "q8":
		return 0.3
	case "q4":
		return 0.5
	}
	return tolerance
}

type variant struct {
	name string
	make func() *folder
	opt  options
}

// variants are all the ways in which the tests can compute the same.
var variants = []variant{
	{"llama/kernels", tinyLlama, options{}},
	{"llama/graph", tinyLlama, options{graph: true}},
	{"gemma/kernels", tinyGemma, options{}},
	{"gemma/graph", tinyGemma, options{graph: true}},
	{"odd/kernels", tinyOdd, options{}},
	{"odd/graph", tinyOdd, options{graph: true}},
	{"llama/kernels/f16", tinyLlama, options{Options: Options{KV: "f16"}}},
	{"gemma/kernels/f16", tinyGemma, options{Options: Options{KV: "f16"}}},
	{"gemma/graph/f16", tinyGemma, options{Options: Options{KV: "f16"}, graph: true}},
	{"llama/kernels/q8", tinyLlama, options{Options: Options{KV: "q8"}}},
	{"gemma/kernels/q8", tinyGemma, options{Options: Options{KV: "q8"}}},
	{"llama/kernels/q4", tinyLlama, options{Options: Options{KV: "q4"}}},
	{"gemma/kernels/q4", tinyGemma, options{Options: Options{KV: "q4"}}},
}

func init() {
	if onGPU() { // a GPU runs MLX's operations only
		variants = slices.DeleteFunc(variants, func(v variant) bool { return !v.opt.graph })
	}
}

func openTiny(t testing.TB, c *folder, opt options) *Model {
	t.Helper()
	m, err := open(c.write(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// sequence is a run of tokens with its place in the cache.
type sequence struct {
	ids   []int32
	table []int32
	done  int // tokens in the cache
}

// step runs the next n[i] tokens of each sequence and returns the logits of all of them.
func step(t testing.TB, m *Model, seqs []*sequence, n []int) [][]float32 {
	t.Helper()
	var tokens, lens, starts, tables, rows []int32
	for i, s := range seqs {
		tokens = append(tokens, s.ids[s.done:s.done+n[i]]...)
		lens, starts = append(lens, int32(n[i])), append(starts, int32(s.done))
		s.done += n[i]
		tables = append(tables, s.table[:(s.done+m.blockTokens-1)/m.blockTokens]...)
	}
	for i := range tokens {
		rows = append(rows, int32(i))
	}
	logits := make([]float32, len(rows)*m.Vocab())
	if err := m.Step(tokens, lens, starts, tables, tables, rows, logits, nil, nil); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(slices.Chunk(logits, m.Vocab()))
}

func randomTokens(seed uint64, n, vocab int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = rng.Int32N(int32(vocab))
	}
	return ids
}

func compare(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	compareWithin(t, tolerance, what, got, want)
}

func compareWithin(t *testing.T, tolerance float64, what string, got, want [][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range want {
		for j := range want[i] {
			if d := math.Abs(float64(got[i][j] - want[i][j])); !(d <= tolerance) {
				t.Fatalf("%s: row %d logit %d is %v, want %v", what, i, j, got[i][j], want[i][j])
			}
		}
	}
}

// The logits of a sequence are the same however it is cut into steps, wherever its blocks lie and
// whichever sequences share the batch.
func TestStepIsTheSameHoweverItIsCut(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			m := openTiny(t, v.make(), v.opt)
			if err := m.AllocKV(40, 40, 4); err != nil {
				t.Fatal(err)
			}
			const n = 30
			ids := randomTokens(3, n, m.Vocab())
			table := func(first, step int32) []int32 {
				out := make([]int32, 8)
				for i := range out {
					out[i] = first + step*int32(i)
				}
				return out
			}
			want := step(t, m, []*sequence{{ids: ids, table: table(0, 1)}}, []int{n})

			for _, chunk := range []int{1, 3, 4, 11} {
				for name, tab := range map[string][]int32{
					"consecutive": table(8, 1), "scattered": table(39, -3),
					"in runs": {30, 31, 20, 21, 22, 9, 8, 0},
				} {
					s := &sequence{ids: ids, table: tab}
					var got [][]float32
					for s.done < n {
						rows := step(t, m, []*sequence{s}, []int{min(chunk, n-s.done)})
						got = append(got, rows...)
					}
					compareWithin(t, within(v.opt.KV),
						fmt.Sprintf("chunks of %d, %s blocks", chunk, name), got, want)
				}
			}

			for _, chunk := range []int{1, 5} {
				other := openTiny(t, v.make(), v.opt)
				got := stepInFewSlots(t, other, ids, table(0, 1), chunk)
				compareWithin(t, within(v.opt.KV),
					fmt.Sprintf("chunks of %d, few window slots", chunk), got, want)
			}

			// Three others are in the batch: one decodes, one prefills, and one shares the first
			// two blocks of this sequence.
			s := &sequence{ids: ids, table: table(0, 1)}
			got := step(t, m, []*sequence{s}, []int{9})
			shared := &sequence{ids: ids, table: append([]int32{0, 1}, table(24, 1)...), done: 8}
			decode := &sequence{ids: randomTokens(5, 20, m.Vocab()), table: table(8, 1)}
			step(t, m, []*sequence{decode}, []int{15})
			prefill := &sequence{ids: randomTokens(6, 20, m.Vocab()), table: table(16, 1)}
			rows := step(t, m, []*sequence{decode, s, prefill, shared}, []int{1, n - 9, 20, n - 8})
			got = append(got, rows[1:1+n-9]...)
			compareWithin(t, within(v.opt.KV), "in a batch", got, want)
			compareWithin(t, within(v.opt.KV), "on shared blocks", rows[len(rows)-(n-8):], want[8:])
		})
	}
}

// stepInFewSlots runs a sequence in chunks of tokens, with no more window slots than a window and a
// chunk take, which are used again and again. Blocks and slots have 4 tokens. It returns all
// logits.
func stepInFewSlots(t *testing.T, m *Model, ids, table []int32, chunk int) (logits [][]float32) {
	slots := (m.Window()+2)/4 + 1 + (2+chunk)/4
	if err := m.AllocKV(40, slots, 4); err != nil {
		t.Fatal(err)
	}
	var free, rows, window []int32 // window has the slots of the sequence, -1 for those given back
	for i := range slots {
		free = append(free, int32(i))
	}
	for at := 0; at < len(ids); at += chunk {
		end := min(at+chunk, len(ids))
		// The slots that no token of this block or a later one sees are given back.
		for i := range min(len(window), max(0, at/4*4-m.Window()+1)/4) {
			if window[i] >= 0 {
				free, window[i] = append(free, window[i]), -1
			}
		}
		for len(window)*4 < end && m.Window() > 0 {
			window, free = append(window, free[0]), free[1:]
		}
		rows = rows[:0]
		for i := at; i < end; i++ {
			rows = append(rows, int32(i-at))
		}
		out := make([]float32, (end-at)*m.Vocab())
		err := m.Step(ids[at:end], []int32{int32(end - at)}, []int32{int32(at)},
			table[:(end+3)/4], window, rows, out, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		logits = append(logits, slices.Collect(slices.Chunk(out, m.Vocab()))...)
	}
	return logits
}

// The CPU kernels and MLX's own operations, two programs for the same network, give the same
// logits.
func TestKernelsMatchGraph(t *testing.T) {
	needsCPU(t)
	for _, c := range []*folder{tinyLlama(), tinyGemma(), tinyOdd()} {
		for _, kv := range []string{"f32", "f16"} {
			var rows [2][][]float32
			for i, graph := range []bool{false, true} {
				m := openTiny(t, c, options{Options: Options{KV: kv}, graph: graph})
				if err := m.AllocKV(4, 4, 32); err != nil {
					t.Fatal(err)
				}
				ids := randomTokens(9, 100, m.Vocab())
				s := &sequence{ids: ids, table: []int32{0, 1, 2, 3}}
				rows[i] = step(t, m, []*sequence{s}, []int{100})
			}
			compareWithin(t, within(kv), fmt.Sprint(c.config["model_type"], kv), rows[0], rows[1])
		}
	}
}

// Each KV format has the size of its formula, and logits that are as near to those of float32 as
// its bits allow, but not equal.
func TestKVFormats(t *testing.T) {
	needsCPU(t)
	for _, c := range []*folder{tinyLlama(), tinyGemma()} {
		var exact [][]float32
		for _, f := range []struct {
			kv    string
			bytes func(elements, groups int) int // of a token
			max   float64                        // difference of a logit
		}{
			{"f32", func(n, _ int) int { return 4 * n }, 0},
			{"f16", func(n, _ int) int { return 2 * n }, 0.05},
			{"q8", func(n, groups int) int { return n + 4*groups }, 1},
			{"q4", func(n, groups int) int { return n/2 + 4*groups }, 12},
		} {
			m := openTiny(t, c, options{Options: Options{KV: f.kv}})
			vectors := 2 * m.cfg.Layers * m.cfg.KVHeads
			global, sliding := m.KVBytesPerToken()
			want := f.bytes(vectors*m.cfg.HeadDim, vectors*((m.cfg.HeadDim+63)/64))
			if got := global + sliding; got != want || m.KVFormat() != f.kv {
				t.Errorf("%s: %d bytes a token of %s, want %d", f.kv, got, m.KVFormat(), want)
			}
			if err := m.AllocKV(4, 4, 32); err != nil {
				t.Fatal(err)
			}
			s := &sequence{ids: randomTokens(9, 100, m.Vocab()), table: []int32{0, 1, 2, 3}}
			rows := step(t, m, []*sequence{s}, []int{100})
			if f.kv == "f32" {
				exact = rows
				continue
			}
			compareWithin(t, f.max, f.kv, rows, exact)
			if slices.EqualFunc(rows, exact, slices.Equal) {
				t.Errorf("%s: the logits are float32's", f.kv)
			}
		}
	}
}

func TestUnknownKVFormats(t *testing.T) {
	dir := tinyLlama().write(t)
	for kv, want := range map[string]string{"q5": "unknown KV format", "q8": "for the CPU"} {
		m, err := open(dir, options{Options: Options{KV: kv}, graph: true})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", kv, err, want)
			m.Close()
		}
	}
}

// On quantised weights a logit is the same to its last bit, whatever else is in the step and
// however the sequence is cut: a float that differs could round an activation to another whole
// number, and an answer in a batch could depart from the answer alone. The sequence crosses tiles,
// spans and, in sliding layers, windows. On two threads and more, some of these steps are cut at
// spans and others are not.
func TestStepIsExact(t *testing.T) {
	needsCPU(t)
	const n = 1160
	for name, make := range map[string]func() *folder{
		"llama": func() *folder { // spans of 512
			c := tinyLlama().config
			c["head_dim"], c["max_position_embeddings"], c["num_hidden_layers"] = 64, n, 2
			return tiny(c)
		},
		"gemma": func() *folder { // spans of 448, and vectors whose length is not a multiple of 16
			c := tinyGemma().config
			c["max_position_embeddings"], c["sliding_window"] = n, 150
			return tiny(c)
		},
	} {
		packed, _ := quantisedPair(make, 32, 4)
		dir := packed.write(t)
		t.Run(name, func(t *testing.T) {
			best := instructionSet()
			eachInstructionSet(t, func(t *testing.T, isa string) {
				formats := []string{"f32", "f16", "q8", "q4"}
				if isa != best {
					formats = formats[:1] // the kernels of the instruction sets do not touch the KV
				}
				for _, kv := range formats {
					t.Run(kv, func(t *testing.T) { stepIsExact(t, dir, kv, n) })
				}
			})
		})
	}
}

func stepIsExact(t *testing.T, dir, kv string, n int) {
	m, err := open(dir, options{Options: Options{KV: kv}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const places, block = 9, 16
	each := (n + block - 1) / block
	if err := m.AllocKV(places*each, places*each, block); err != nil {
		t.Fatal(err)
	}
	place := func(i int) []int32 {
		table := make([]int32, each)
		for j := range table {
			table[j] = int32(j*places + (i+j)%places) // no two blocks lie side by side
		}
		return table
	}
	ids := randomTokens(9, n, m.Vocab())
	want := step(t, m, []*sequence{{ids: ids, table: place(0)}}, []int{n})
	exact := func(what string, at int, got [][]float32) {
		t.Helper()
		for i, row := range got {
			for j, x := range row {
				if x != want[at+i][j] {
					t.Fatalf("%s: token %d logit %d is %v, in one step %v",
						what, at+i, j, x, want[at+i][j])
				}
			}
		}
	}
	for _, chunk := range []int{200, 64, 33, 16, 7, 1} {
		s := &sequence{ids: ids, table: place(1)}
		for s.done < n {
			at := s.done
			rows := step(t, m, []*sequence{s}, []int{min(chunk, n-at)})
			exact(fmt.Sprintf("chunks of %d", chunk), at, rows)
			// Single tokens about the ends of tiles are enough. The cache has the others from the
			// longer chunks before.
			if chunk == 1 && s.done%64 == 10 {
				s.done = min(s.done+44, n)
			}
		}
	}

	// Eight sequences at different positions decode together, with or without a prompt beside them.
	// The cache of each was filled in a step with the others.
	for _, beside := range []int{0, 100} {
		var seqs []*sequence
		var lens []int
		for i := range 8 {
			seqs = append(seqs, &sequence{ids: ids, table: place(i)})
			lens = append(lens, n-12-i*n/9)
		}
		other := &sequence{ids: randomTokens(5, n, m.Vocab()), table: place(8)}
		step(t, m, seqs, lens)
		for i := range lens {
			lens[i] = 1
		}
		if beside > 0 {
			seqs, lens = append(seqs, other), append(lens, beside)
		}
		for range 10 {
			rows := step(t, m, seqs, lens)
			for i, s := range seqs[:8] {
				exact(fmt.Sprintf("stream %d of 8 beside %d tokens of a prompt", i, beside),
					s.done-1, rows[i:i+1])
			}
		}
	}
}

// Only the rows that are wanted are computed, and they are equal to those of a step that wants all.
func TestRows(t *testing.T) {
	for _, v := range variants {
		m := openTiny(t, v.make(), v.opt)
		if err := m.AllocKV(4, 4, 8); err != nil {
			t.Fatal(err)
		}
		ids := randomTokens(4, 20, m.Vocab())
		want := step(t, m, []*sequence{{ids: ids, table: []int32{0, 1, 2}}}, []int{20})
		logits := make([]float32, 2*m.Vocab())
		table := []int32{2, 3, 1}
		err := m.Step(ids, []int32{20}, []int32{0}, table, table, []int32{5, 19}, logits, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		compareWithin(t, within(v.opt.KV), v.name,
			slices.Collect(slices.Chunk(logits, m.Vocab())), [][]float32{want[5], want[19]})

		table = []int32{3, 0}
		err = m.Step(ids[:12], []int32{12}, []int32{0}, table, table, nil, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := step(t, m, []*sequence{{ids: ids, table: []int32{3, 0, 2}, done: 12}}, []int{8})
		compareWithin(t, within(v.opt.KV), v.name+" after a step without rows", got, want[12:])
	}
}

func TestKVCopyReadWrite(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			dir := v.make()
			m, other := openTiny(t, dir, v.opt), openTiny(t, dir, v.opt)
			for _, x := range []*Model{m, other} {
				if err := x.AllocKV(6, 6, 8); err != nil {
					t.Fatal(err)
				}
			}
			ids := randomTokens(4, 24, m.Vocab())
			want := step(t, m, []*sequence{{ids: ids, table: []int32{0, 1, 2}}}, []int{24})

			// A full block and some tokens of one are copied to other blocks. The rest of the
			// sequence is computed on the copies.
			for _, c := range []struct{ dst, src, tokens int }{{5, 0, 8}, {3, 1, 5}} {
				if err := m.CopyKV(c.dst, c.src, c.dst, c.src, c.tokens); err != nil {
					t.Fatal(err)
				}
			}
			copied := &sequence{ids: ids, table: []int32{5, 3, 4}, done: 13}
			compareWithin(t, within(v.opt.KV), "on copies",
				step(t, m, []*sequence{copied}, []int{11}), want[13:])

			// The same is done by reading and writing, into another model with the same weights.
			for _, c := range []struct{ dst, src, tokens int }{{4, 0, 8}, {1, 1, 5}} {
				saved := make([]byte, c.tokens*(m.kvGlobal+m.kvSliding))
				if err := m.ReadKV(c.src, c.src, c.tokens, saved); err != nil {
					t.Fatal(err)
				}
				if err := other.WriteKV(c.dst, c.dst, c.tokens, saved); err != nil {
					t.Fatal(err)
				}
				again := make([]byte, len(saved))
				if err := other.ReadKV(c.dst, c.dst, c.tokens, again); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(saved, again) {
					t.Fatal("ReadKV does not return what WriteKV wrote")
				}
			}
			restored := &sequence{ids: ids, table: []int32{4, 1, 0}, done: 13}
			compareWithin(t, within(v.opt.KV), "after a restore",
				step(t, other, []*sequence{restored}, []int{11}), want[13:])
		})
	}
}

// A step writes to the blocks of its tables and to no others.
func TestStepLeavesOtherBlocksAlone(t *testing.T) {
	for _, v := range variants {
		m := openTiny(t, v.make(), v.opt)
		if err := m.AllocKV(5, 5, 4); err != nil {
			t.Fatal(err)
		}
		fill := bytes.Repeat([]byte{1, 2, 3, 4}, m.kvGlobal+m.kvSliding)
		for b := range 5 {
			if err := m.WriteKV(b, b, 4, fill); err != nil {
				t.Fatal(err)
			}
		}
		ids := randomTokens(4, 6, m.Vocab())
		step(t, m, []*sequence{{ids: ids, table: []int32{3, 1}}}, []int{6})
		got := make([]byte, len(fill))
		for _, b := range []int{0, 2, 4} {
			if err := m.ReadKV(b, b, 4, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, fill) {
				t.Errorf("%s: block %d has changed", v.name, b)
			}
		}
	}
}

func TestStepRefusesWhatIsOutOfRange(t *testing.T) {
	m := openTiny(t, tinyLlama(), options{})
	one := make([]float32, m.Vocab())
	s := func(x ...int32) []int32 { return x }
	err := m.Step(s(1), s(1), s(0), s(0), s(0), nil, nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "before AllocKV") {
		t.Errorf("Step before AllocKV: %v", err)
	}
	err = m.AllocKV(1<<20, 1<<20, 1<<20)
	if err == nil || !strings.Contains(err.Error(), "2^31") {
		t.Errorf("a cache of 2^40 tokens: %v", err)
	}
	err = m.AllocKV(1<<20, 1<<20, 1<<10)
	if err == nil || !strings.Contains(err.Error(), "available") {
		t.Errorf("a cache larger than memory: %v", err)
	}
	if err := m.AllocKV(3, 3, 4); err != nil {
		t.Fatal(err)
	}
	if err := m.AllocKV(3, 3, 4); err == nil {
		t.Error("a second AllocKV succeeds")
	}
	for _, c := range []struct {
		what                               string
		tokens, lens, starts, tables, rows []int32
		logits                             []float32
		want                               string
	}{
		{"no sequence", nil, nil, nil, nil, nil, nil, "at least one"},
		{"starts missing", s(1), s(1), nil, s(0), nil, nil, "starts"},
		{"empty sequence", s(1), s(1, 0), s(0, 0), s(0), nil, nil, "at least 1"},
		{"negative start", s(1), s(1), s(-1), s(0), nil, nil, "position -1"},
		{"beyond the context", s(1), s(1), s(128), s(0), nil, nil, "ends at 128"},
		{"short table", s(1), s(1), s(4), s(0), nil, nil, "1 table entries"},
		{"few tokens", s(1), s(2), s(0), s(0), nil, nil, "1 tokens"},
		{"unknown token", s(131), s(1), s(0), s(0), nil, nil, "vocabulary has 131"},
		{"negative token", s(-1), s(1), s(0), s(0), nil, nil, "vocabulary"},
		{"unknown block", s(1), s(1), s(0), s(3), nil, nil, "the cache has 3"},
		{"row out of range", s(1), s(1), s(0), s(0), s(1), one, "below 1"},
		{"rows not ascending", s(1, 2), s(2), s(0), s(0), s(1, 0), append(one, one...), "ascend"},
		{"no room", s(1), s(1), s(0), s(0), s(0), one[1:], "need 131"},
	} {
		err := m.Step(c.tokens, c.lens, c.starts, c.tables, c.tables, c.rows, c.logits, nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.what, err, c.want)
		}
	}
	buf := make([]byte, 4*(m.kvGlobal+m.kvSliding))
	for what, err := range map[string]error{
		"CopyKV to block 3":  m.CopyKV(3, 0, 0, 0, 1),
		"CopyKV of 5 tokens": m.CopyKV(1, 0, 1, 0, 5),
		"ReadKV short":       m.ReadKV(0, 0, 4, buf[1:]),
		"WriteKV block -1":   m.WriteKV(-1, 0, 4, buf),
	} {
		if err == nil {
			t.Errorf("%s succeeds", what)
		}
	}
	for _, c := range []struct {
		rows, picks []int32
		best        int
		want        string
	}{
		{nil, s(1), 1, "pick 0 is token 1"},
		{nil, s(0, 0), 2, "ascend"},
		{s(0), s(0), 1, "among the rows and among the picks"},
		{nil, s(0), 0, "room for 0 of 1 picks"},
		{nil, nil, 1, "room for 1 of 0 picks"},
	} {
		err := m.Step(s(1), s(1), s(0), s(0), s(0),
			c.rows, one[:len(c.rows)*131], c.picks, make([]int32, c.best))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("rows %v and picks %v: error %v, want one with %q",
				c.rows, c.picks, err, c.want)
		}
	}
	if err := m.Step(s(1), s(1), s(0), s(2), s(2), s(0), one, nil, nil); err != nil {
		t.Errorf("a good step after the bad ones: %v", err)
	}
}

func TestCloseIsIdempotentAndFinal(t *testing.T) {
	m := openTiny(t, tinyLlama(), options{})
	if err := m.AllocKV(1, 1, 4); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	err := m.Step([]int32{1}, []int32{1}, []int32{0}, []int32{0}, []int32{0}, nil, nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Step after Close: %v", err)
	}
	if err := m.AllocKV(1, 1, 4); err == nil {
		t.Error("AllocKV after Close succeeds")
	}
	global, sliding := m.KVBytesPerToken()
	buf := make([]byte, global+sliding)
	for what, err := range map[string]error{
		"CopyKV":  m.CopyKV(0, 0, 0, 0, 1),
		"ReadKV":  m.ReadKV(0, 0, 1, buf),
		"WriteKV": m.WriteKV(0, 0, 1, buf),
	} {
		if err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}

func TestOpenAndCloseKeepMemoryFlat(t *testing.T) {
	dir := tinyGemma().write(t)
	broken := tinyGemma()
	delete(broken.tensors, "model.norm.weight")
	brokenDir := broken.write(t)
	cycle := func() {
		m, err := open(dir, options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.AllocKV(4, 4, 8); err != nil {
			t.Fatal(err)
		}
		step(t, m, []*sequence{{ids: []int32{1, 2, 3}, table: []int32{0}}}, []int{3})
		m.Close()
		if _, err := open(brokenDir, options{}); err == nil {
			t.Fatal("a model without its last norm opens")
		}
	}
	cycle()
	before, _ := memory()
	for range 200 {
		cycle()
	}
	if after, _ := memory(); after != before {
		t.Errorf("200 models later MLX holds %d bytes, %d before", after, before)
	}
}

func TestVersion(t *testing.T) {
	if Version() == "" {
		t.Error("no version")
	}
}

func TestPanicsComeBackFromTheThread(t *testing.T) {
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "boom") ||
			!strings.Contains(p, "mlx_test.go") {
			t.Errorf("recovered %q, want boom and where it came from", p)
		}
		if err := onThread(func() error { return nil }); err != nil {
			t.Errorf("the thread is gone: %v", err)
		}
	}()
	onThread(func() error { panic("boom") })
}
