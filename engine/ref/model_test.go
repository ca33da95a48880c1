package ref

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"loadstone/engine"
	"loadstone/engine/checkpoint"
	"loadstone/engine/ref/oracle"
)

var _ engine.Model = (*Model)(nil)

// newModel returns a network of package oracle, whose tensor names begin with prefix.
func newModel(t testing.TB, kind, prefix string) *Model {
	return newModelKV(t, kind, prefix, "f32")
}

func newModelKV(t testing.TB, kind, prefix, kv string) *Model {
	t.Helper()
	return openFolder(t, oracle.Folder(t, kind, oracle.Form{Prefix: prefix}), kv)
}

func openFolder(t testing.TB, dir, kv string) *Model {
	t.Helper()
	c, err := checkpoint.Open(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(c, kv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// prompt is the oracle's prompt.
func prompt(vocab int) []int32 { return oracle.Prompt(vocab) }

func upTo(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

// run computes the logits of all tokens of one sequence in one step, in blocks 0, 1, 2, ...
func run(t testing.TB, m *Model, tokens []int32) []float32 {
	t.Helper()
	if err := m.AllocKV(64, 64, 8); err != nil {
		t.Fatal(err)
	}
	return step(t, m, tokens, []int32{int32(len(tokens))}, []int32{0}, upTo((len(tokens)+7)/8))
}

// step computes the logits of all tokens of a batch.
func step(t testing.TB, m *Model, tokens, lens, starts, tables []int32) []float32 {
	t.Helper()
	logits := make([]float32, len(tokens)*m.Vocab())
	err := m.Step(tokens, lens, starts, tables, tables, upTo(len(tokens)), logits, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

// TestOracles compares every network with Transformers', in floats and quantised. The tolerance is
// for float32 sums in another order. The logits have a standard deviation of 1 to 2; an embedding
// factor that is not rounded to bfloat16 moves them by 9e-3, and all other mistakes that were tried
// move them by more than 0.1.
func TestOracles(t *testing.T) {
	const tolerance = 1e-4
	for _, kind := range oracle.Kinds(t) {
		for name, form := range map[string]oracle.Form{
			"floats": {}, "quantised": {Quantised: true},
			"in a multimodal folder": {Prefix: "language_model."},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				m := openFolder(t, oracle.Folder(t, kind, form), "f32")
				want, rows := oracle.Logits(t, kind, form.Quantised)
				got := run(t, m, prompt(m.Vocab()))
				off := oracle.Distance(t, got[len(got)-rows*m.Vocab():], want)
				t.Logf("largest difference %.2g", off)
				if off > tolerance {
					t.Errorf("logits differ from the oracle's by %g, %g allowed", off, tolerance)
				}
			})
		}
	}
}

// TestFolderForms: the names in multimodal folders, those of a body without its head, and Mistral
// without a sliding window, which is a Llama, all make the same network.
func TestFolderForms(t *testing.T) {
	open := func(change func(config map[string]any, list []checkpoint.Tensor)) []float32 {
		t.Helper()
		config := oracle.Config(t, "llama")
		list := oracle.Tensors(t, config, oracle.Form{})
		change(config, list)
		list = slices.DeleteFunc(list, func(x checkpoint.Tensor) bool { return x.Name == "" })
		dir := t.TempDir()
		if err := checkpoint.Write(dir, config, list); err != nil {
			t.Fatal(err)
		}
		m := openFolder(t, dir, "f32")
		return run(t, m, prompt(m.Vocab()))
	}
	tie := func(config map[string]any, list []checkpoint.Tensor) {
		config["tie_word_embeddings"] = true
		list[slices.IndexFunc(list, func(x checkpoint.Tensor) bool {
			return x.Name == "lm_head.weight"
		})].Name = ""
	}
	rename := func(list []checkpoint.Tensor, from, to string) {
		for i := range list {
			if rest, ok := strings.CutPrefix(list[i].Name, from); ok {
				list[i].Name = to + rest
			}
		}
	}
	untied := open(func(map[string]any, []checkpoint.Tensor) {})
	tied := open(tie)
	for name, c := range map[string]struct {
		want   []float32
		change func(config map[string]any, list []checkpoint.Tensor)
	}{
		"mistral": {untied, func(config map[string]any, list []checkpoint.Tensor) {
			config["model_type"], config["sliding_window"] = "mistral", nil
		}},
		"Transformers 5": {untied, func(config map[string]any, list []checkpoint.Tensor) {
			rename(list, "model.", "model.language_model.")
		}},
		"Transformers 4": {untied, func(config map[string]any, list []checkpoint.Tensor) {
			rename(list, "", "language_model.")
		}},
		"body": {tied, func(config map[string]any, list []checkpoint.Tensor) {
			tie(config, list)
			rename(list, "model.", "")
		}},
		"multimodal body": {tied, func(config map[string]any, list []checkpoint.Tensor) {
			tie(config, list)
			rename(list, "model.", "language_model.")
		}},
		"tied, with a head": {tied, func(config map[string]any, list []checkpoint.Tensor) {
			config["tie_word_embeddings"] = true
		}},
	} {
		if got := open(c.change); !slices.Equal(got, c.want) {
			t.Errorf("%s: other logits", name)
		}
	}
	if slices.Equal(untied, tied) {
		t.Error("tied and untied networks have the same logits")
	}
}

// TestSameBits checks that the same tokens give the same logits, bit by bit, however they reach the
// network and in every KV format.
func TestSameBits(t *testing.T) {
	for _, kind := range oracle.Kinds(t) {
		formats := kvFormats
		if kind != "gemma3" && kind != "llama" { // the format has nothing to do with the network
			formats = formats[:1]
		}
		for _, f := range formats {
			m := newModelKV(t, kind, "", f.Name)
			tokens := prompt(m.Vocab())
			want := run(t, m, tokens)
			ways := map[string]func(t *testing.T, m *Model) []float32{
				"token by token": func(t *testing.T, m *Model) []float32 { return chunks(t, m, tokens, 8, upTo(5), 1) },
				"chunks of 7":    func(t *testing.T, m *Model) []float32 { return chunks(t, m, tokens, 8, upTo(5), 7) },
				"blocks of 5":    func(t *testing.T, m *Model) []float32 { return chunks(t, m, tokens, 5, upTo(8), 40) },
				"blocks of 64":   func(t *testing.T, m *Model) []float32 { return chunks(t, m, tokens, 64, []int32{3}, 40) },
				"scattered blocks": func(t *testing.T, m *Model) []float32 {
					return chunks(t, m, tokens, 8, []int32{60, 2, 33, 1, 17}, 40)
				},
				"slots of the window": func(t *testing.T, m *Model) []float32 { return windowed(t, m, tokens, 7) },
				"one by one in it":    func(t *testing.T, m *Model) []float32 { return windowed(t, m, tokens, 1) },
				"three workers": func(t *testing.T, m *Model) []float32 {
					m.workers, m.parallelFrom = 3, 0
					return chunks(t, m, tokens, 8, upTo(5), 40)
				},
				"in a batch":    func(t *testing.T, m *Model) []float32 { return batched(t, m, tokens) },
				"copied blocks": func(t *testing.T, m *Model) []float32 { return moved(t, m, tokens, copyBlock) },
				"saved blocks":  func(t *testing.T, m *Model) []float32 { return moved(t, m, tokens, saveBlock) },
			}
			for name, way := range ways {
				t.Run(kind+"/"+f.Name+"/"+strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
					got := way(t, newModelKV(t, kind, "", f.Name))
					if len(got) != len(want) {
						t.Fatalf("%d logits, want %d", len(got), len(want))
					}
					for i := range want {
						if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
							t.Fatalf("token %d: logit %d is %v, in one step %v",
								i/m.Vocab(), i%m.Vocab(), got[i], want[i])
						}
					}
				})
			}
		}
	}
}

// chunks runs the sequence in chunks of some tokens.
func chunks(t *testing.T, m *Model, tokens []int32, blockTokens int, table []int32,
	chunk int) (logits []float32) {
	if err := m.AllocKV(64, 64, blockTokens); err != nil {
		t.Fatal(err)
	}
	at := 0
	for c := range slices.Chunk(tokens, chunk) {
		end := at + len(c)
		logits = append(logits, step(t, m, c, []int32{int32(len(c))}, []int32{int32(at)},
			table[:(end+blockTokens-1)/blockTokens])...)
		at = end
	}
	return logits
}

// windowed runs the sequence in chunks with as few window slots as a window and a chunk take, and
// reuses them.
func windowed(t *testing.T, m *Model, tokens []int32, chunk int) (logits []float32) {
	const size = 4
	slots := (m.Window()+size-2)/size + 1 + (size-2+chunk)/size
	if err := m.AllocKV(64, slots, size); err != nil {
		t.Fatal(err)
	}
	free := upTo(slots)
	var table []int32
	for at := 0; at < len(tokens); at += chunk {
		end := min(at+chunk, len(tokens))
		// Slots that no token of the chunk's first block sees are free.
		for i := range min(len(table), max(0, at/size*size-m.Window()+1)/size) {
			if table[i] >= 0 {
				free = append(free, table[i])
				table[i] = -1
			}
		}
		for len(table)*size < end && m.Window() > 0 {
			table, free = append(table, free[0]), free[1:]
		}
		row := make([]float32, (end-at)*m.Vocab())
		blocks := upTo((end + size - 1) / size)
		if err := m.Step(tokens[at:end], []int32{int32(end - at)}, []int32{int32(at)}, blocks,
			table, upTo(end-at), row, nil, nil); err != nil {
			t.Fatal(err)
		}
		logits = append(logits, row...)
	}
	return logits
}

// batched runs the sequence in three chunks, each between chunks of other sequences of other
// lengths.
func batched(t *testing.T, m *Model, tokens []int32) (logits []float32) {
	if err := m.AllocKV(64, 64, 8); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	other := func(n int) []int32 {
		s := make([]int32, n)
		for i := range s {
			s[i] = rng.Int32N(int32(m.Vocab()))
		}
		return s
	}
	table := []int32{9, 8, 7, 6, 5}
	ends := []int{11, 12, 40}
	start := 0
	for round, end := range ends {
		n := end - start
		before, after := int32(round), int32(3) // before's sequence grows with the rounds
		batch := slices.Concat(other(1), tokens[start:end], other(int(after)))
		all := step(t, m, batch, []int32{1, int32(n), after}, []int32{before, int32(start), 14},
			slices.Concat([]int32{20}, table[:(end+7)/8], []int32{30, 31, 32}))
		logits = append(logits, all[m.Vocab():(1+n)*m.Vocab()]...)
		start = end
	}
	return logits
}

// moved runs 21 tokens in some blocks, moves these elsewhere, overwrites the old ones, and runs the
// rest.
func moved(t *testing.T, m *Model, tokens []int32,
	move func(m *Model, dst, src, tokens int) error) []float32 {
	if err := m.AllocKV(64, 64, 8); err != nil {
		t.Fatal(err)
	}
	logits := step(t, m, tokens[:21], []int32{21}, []int32{0}, []int32{0, 1, 2})
	for i, n := range []int{8, 8, 5} {
		if err := move(m, 40-i, i, n); err != nil {
			t.Fatal(err)
		}
	}
	step(t, m, tokens[3:27], []int32{24}, []int32{0}, []int32{0, 1, 2})
	return append(logits, step(t, m, tokens[21:], []int32{19}, []int32{21},
		[]int32{40, 39, 38, 5, 6})...)
}

func copyBlock(m *Model, dst, src, tokens int) error { return m.CopyKV(dst, src, dst, src, tokens) }

func saveBlock(m *Model, dst, src, tokens int) error {
	global, window := m.KVBytesPerToken()
	buf := make([]byte, tokens*(global+window))
	if err := m.ReadKV(src, src, tokens, buf); err != nil {
		return err
	}
	return m.WriteKV(dst, dst, tokens, buf)
}

// TestRows checks that a step that returns some rows returns the same logits as one that returns
// all.
func TestRows(t *testing.T) {
	m := newModel(t, "gemma3", "")
	tokens := prompt(m.Vocab())
	all := run(t, m, tokens)
	rows := []int32{0, 17, 39}
	got := make([]float32, len(rows)*m.Vocab())
	err := m.Step(tokens, []int32{40}, []int32{0}, upTo(5), upTo(5), rows, got, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if !slices.Equal(got[i*m.Vocab():][:m.Vocab()], all[int(r)*m.Vocab():][:m.Vocab()]) {
			t.Errorf("row %d has other logits in a step without the other rows", r)
		}
	}
	// All chunks of a prompt but the last are run for their keys and values alone.
	blocks := []int32{9, 10, 11, 12}
	err = m.Step(tokens[:30], []int32{30}, []int32{0}, blocks, blocks, nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := step(t, m, tokens[30:], []int32{10}, []int32{30}, []int32{9, 10, 11, 12, 13})
	if !slices.Equal(last, all[30*m.Vocab():]) {
		t.Error("after a chunk with no rows the logits differ")
	}
}

// TestPicks checks that a pick is the largest finite logit of the row that would have been
// returned, the first of equals, beside other rows or not, and -1 if no logit is finite.
func TestPicks(t *testing.T) {
	for _, kind := range oracle.Kinds(t) {
		for name, damage := range map[string]func(m *Model){
			"sound": func(m *Model) {},
			"ties": func(m *Model) { // the first half of the vocabulary again
				copy(m.w.head[m.cfg.VocabSize/2*m.cfg.HiddenSize:], slices.Clone(m.w.head))
			},
			"some infinite": func(m *Model) {
				for i := 0; i < len(m.w.head); i += 5 * m.cfg.HiddenSize {
					m.w.head[i] = float32(math.Inf(i%2*2 - 1))
				}
				m.w.head[3*m.cfg.HiddenSize] = float32(math.NaN())
			},
			"none finite": func(m *Model) { m.w.norm[7] = float32(math.NaN()) },
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				m := newModel(t, kind, "")
				m.w.head, m.w.norm = slices.Clone(m.w.head), slices.Clone(m.w.norm)
				damage(m)
				tokens, vocab := prompt(m.Vocab()), m.Vocab()
				all := run(t, m, tokens)
				for _, c := range []struct{ rows, picks []int32 }{
					{nil, upTo(40)}, {[]int32{0, 17, 39}, []int32{3, 4, 18}},
					{upTo(39), []int32{39}}, {nil, []int32{20}},
				} {
					logits, best := make([]float32, len(c.rows)*vocab), make([]int32, len(c.picks))
					if err := m.Step(tokens, []int32{40}, []int32{0}, upTo(5), upTo(5), c.rows,
						logits, c.picks, best); err != nil {
						t.Fatal(err)
					}
					for i, r := range c.rows {
						for j, v := range logits[i*vocab:][:vocab] {
							if math.Float32bits(v) != math.Float32bits(all[int(r)*vocab+j]) {
								t.Fatalf("row %d has other logits beside picks", r)
							}
						}
					}
					for i, r := range c.picks {
						want := slices.Index(all[int(r)*vocab:][:vocab],
							greatest(all[int(r)*vocab:][:vocab]))
						if int(best[i]) != want {
							t.Fatalf("token %d's pick is %d, the largest of its row %d",
								r, best[i], want)
						}
					}
				}
			})
		}
	}
}

// greatest is the greatest finite number of a row. It is NaN, which slices.Index finds nowhere, if
// there is none.
func greatest(row []float32) float32 {
	finite := slices.DeleteFunc(slices.Clone(row), func(v float32) bool {
		return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0)
	})
	if len(finite) == 0 {
		return float32(math.NaN())
	}
	return slices.Max(finite)
}

// s is a short form for a slice.
func s(ids ...int32) []int32 { return ids }

// refusedSteps are steps that do not fit the model of TestRefusals, whose blocks have 8 tokens,
// with a part of their errors.
var refusedSteps = []struct {
	name                               string
	tokens, lens, starts, tables, rows []int32
	logits                             int
	say                                string
}{
	{"token", s(89), s(1), s(0), s(0), nil, 0, "token 89 is outside the vocabulary of 83"},
	{"negative token", s(-1), s(1), s(0), s(0), nil, 0, "token -1"},
	{"block", s(1), s(1), s(0), s(64), nil, 0, "block 64 of 64"},
	{"no block", s(1), s(1), s(8), s(0), nil, 0, "1 tokens and 2 blocks; 1 and 1 are left"},
	{"too many blocks", s(1), s(1), s(7), s(0, 1), nil, 0, "1 blocks belong to no sequence"},
	{"too many tokens", s(1, 2), s(1), s(0), s(0), nil, 0, "1 tokens and 0 blocks belong to no sequence"},
	{"too few tokens", s(1, 2), s(3), s(0), s(0), nil, 0, "3 tokens and 1 blocks; 2 and 1 are left"},
	{"empty sequence", nil, s(0), s(0), nil, nil, 0, "0 tokens from position 0"},
	{"context", s(1), s(1), s(64), s(0, 1, 2, 3, 4, 5, 6, 7, 8), nil, 0, "the context has 64"},
	{"negative start", s(1), s(1), s(-1), s(0), nil, 0, "from position -1"},
	{"huge", s(1), s(math.MaxInt32), s(math.MaxInt32), s(0), nil, 0, "the context has 64"},
	{"starts", s(1), s(1), nil, s(0), nil, 0, "1 lens and 0 starts"},
	{"row", s(1), s(1), s(0), s(0), s(1), 89, "ascending indices into 1 tokens"},
	{"row twice", s(1, 2), s(2), s(0), s(0), s(1, 1), 178, "ascending indices"},
	{"room", s(1), s(1), s(0), s(0), s(0), 88, "room for 88 logits"},
}

// TestRefusals checks that a step that does not fit is an error that names the misfit, and that the
// model still works after it.
func TestRefusals(t *testing.T) {
	m := newModel(t, "llama", "")
	want := run(t, m, prompt(m.Vocab()))
	for _, c := range refusedSteps {
		err := m.Step(c.tokens, c.lens, c.starts, c.tables, c.tables, c.rows,
			make([]float32, c.logits), nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.say)
		}
	}
	for _, c := range []struct {
		rows, picks []int32
		best        int
		say         string
	}{
		{nil, s(1), 1, "ascending indices into 1 tokens"},
		{nil, s(0, 0), 2, "ascending indices"},
		{s(0), s(0), 1, "among the rows and among the picks"},
		{nil, s(0), 0, "0 picks; 0 rows"},
	} {
		err := m.Step(s(1), s(1), s(0), s(0), s(0), c.rows, make([]float32, len(c.rows)*89),
			c.picks, make([]int32, c.best))
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("rows %v and picks %v: error %v, want one with %q",
				c.rows, c.picks, err, c.say)
		}
	}
	for name, err := range map[string]error{
		"second AllocKV": m.AllocKV(1, 1, 1),
		"CopyKV":         m.CopyKV(0, 64, 0, 0, 1),
		"CopyKV tokens":  m.CopyKV(0, 1, 0, 1, 9),
		"ReadKV":         m.ReadKV(-1, 0, 1, nil),
		"WriteKV":        m.WriteKV(0, 0, 1, nil),
	} {
		if err == nil {
			t.Errorf("%s did not fail", name)
		}
	}
	if err := newModel(t, "llama", "").AllocKV(math.MaxInt32, 0, math.MaxInt32); err == nil {
		t.Error("AllocKV of 2^62 tokens did not fail")
	}
	sliding := newModel(t, "gemma3", "")
	if err := sliding.AllocKV(5, 1, 8); err != nil {
		t.Fatal(err)
	}
	for say, slots := range map[string][]int32{
		"1 blocks and 0 window slots": nil,
		"window slot 1 of 1":          s(1),
		"window slot -1 of 1":         s(-1),
	} {
		err := sliding.Step(s(1), s(1), s(0), s(0), slots, nil, nil, nil, nil)
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("window slots %v: error %v, want one with %q", slots, err, say)
		}
	}
	if got := step(t, m, prompt(m.Vocab()), s(40), s(0), upTo(5)); !slices.Equal(got, want) {
		t.Error("after refused steps the logits differ")
	}
	m.Close()
	if err := m.Step(s(1), s(1), s(0), s(0), s(0), nil, nil, nil, nil); err == nil {
		t.Error("Step after Close did not fail")
	}
}

// TestExp compares exp with package math over the range of scores and gates.
func TestExp(t *testing.T) {
	for x := -104.0; x < 89; x += 0.00137 {
		got, want := exp(x), math.Exp(x)
		if math.Abs(got/want-1) > 1e-8 {
			t.Fatalf("exp(%v) is %v, want %v", x, got, want)
		}
	}
	if got := float32(exp(math.Inf(-1))); got != 0 {
		t.Errorf("exp(-Inf) is %v", got)
	}
	if got := exp(math.NaN()); got == got {
		t.Errorf("exp(NaN) is %v", got)
	}
}
