package engine

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loadstone/engine/catalog"
	"loadstone/engine/checkpoint"
	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/sample"
	"loadstone/engine/ref"
	"loadstone/engine/ref/oracle"
	"loadstone/engine/tiny"
	"loadstone/metal"
)

// A network is a model that lists of operations are run on.
type network struct {
	name  string
	open  func() (Model, error)
	shift int32    // to its ids from the fake's, whose prompts all networks get
	only  []string // setups, where all would take too long

	// foretell returns what a request must be answered, without an engine.
	foretell func(Request) foretold
	// varied says that requests have masks, penalties, a bias and log-probabilities; vocab is the
	// number of the network's tokens.
	varied bool
	vocab  int
	// speculated, where not nil, is told the result of each answer that was judged whole.
	speculated func(Result)
	// excuse says why an answer is wrong that differs from the foretold one; nil excuses none.
	excuse func(r Request, got []int32) error
}

// A foretold answer has the log-probabilities of each token, nil where they are not wanted.
type foretold struct {
	ids   []int32
	probs [][]Logprob
}

// theFake knows its answers from the prompt alone.
var theFake = &network{name: "fake", open: func() (Model, error) { return newFake(), nil },
	foretell: func(r Request) foretold { return foretoldBy(nextToken, r) }}

// sliding is the fake with a sliding layer.
func sliding(window int) *network {
	open := func() (Model, error) {
		m := newFake()
		m.window = window
		return m, nil
	}
	name := fmt.Sprintf("fake with a window of %d", window)
	return &network{name: name, open: open, foretell: theFake.foretell}
}

// tokenBytes returns the bytes of one token in all layers.
func tokenBytes(m Model) int {
	global, window := m.KVBytesPerToken()
	return global + window
}

func openTiny() (Model, error) { return openTinyAs("f32") }

// openTinyAs keeps the KV in a format.
func openTinyAs(kv string) (Model, error) {
	c, err := checkpoint.Open(tiny.FS)
	if err != nil {
		return nil, err
	}
	return ref.New(c, kv)
}

// openMLX opens a model that the catalog knows on MLX.
func openMLX(name string) (Model, error) {
	src, err := catalog.Open(name)
	if err != nil {
		return nil, err
	}
	if src.Dir == "" { // MLX reads files, which the embedded model is not in
		if src.Dir, err = os.MkdirTemp("", "loadstone-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(src.Dir)
		if err := os.CopyFS(src.Dir, src.FS); err != nil {
			return nil, err
		}
	}
	return metal.Open(src.Dir, metal.Options{})
}

// A soloist is a model that answers one request at a time, the whole prompt in one step and then
// token by token, into the first blocks of its memory: nothing is shared, kept, cut or batched.
type soloist struct {
	m     Model
	known map[string]foretold
}

const soloTokens = 256

func newSoloist(open func() (Model, error)) (*soloist, error) {
	m, err := open()
	if err != nil {
		return nil, err
	}
	return &soloist{m: m, known: make(map[string]foretold)}, m.AllocKV(1, 1, soloTokens)
}

// logits runs tokens at a position and returns the rows of the last n.
func (s *soloist) logits(tokens []int32, at, n int) []float32 {
	rows := make([]int32, n)
	for i := range rows {
		rows[i] = int32(len(tokens) - n + i)
	}
	out := make([]float32, n*s.m.Vocab())
	lens, starts, first := []int32{int32(len(tokens))}, []int32{int32(at)}, []int32{0}
	if err := s.m.Step(tokens, lens, starts, first, first, rows, out, nil, nil); err != nil {
		panic(err)
	}
	return out
}

func (s *soloist) foretell(r Request) foretold {
	key := fmt.Sprint(r.Prompt, r.MaxTokens, r.Stop, r.Sampling, r.Mask != nil, r.Logprobs)
	if answer, ok := s.known[key]; ok {
		return answer
	}
	draws := sample.New(r.Sampling, r.Prompt, r.Mask, r.Logprobs)
	var f foretold
	var row sample.Distribution
	text := slices.Clone(r.Prompt)
	logits := s.logits(text, 0, 1)
	for {
		t, ok := draws.Draw(logits, &row)
		if !ok {
			panic("no token could be drawn")
		}
		if slices.Contains(r.Stop, t) {
			break
		}
		f.probs = append(f.probs, draws.Logprobs())
		if text = append(text, t); len(text) == len(r.Prompt)+r.MaxTokens {
			break
		}
		logits = s.logits(text[len(text)-1:], len(text)-1, 1)
	}
	f.ids = text[len(r.Prompt):]
	s.known[key] = f
	return f
}

// excuse explains a greedy answer that differs from the foretold one: where it does first, and at
// each later token given its own earlier ones, the logits of its token and of the likeliest are
// no further apart than tolerance, a share of the row's largest magnitude. So sums in another
// order may have told them apart.
func (s *soloist) excuse(
	tolerance float64, explain func(string),
) func(r Request, got []int32) error {
	return func(r Request, got []int32) error {
		if r.Sampling.Temperature != 0 {
			panic("there is no excuse for a draw")
		}
		want := s.foretell(r).ids
		first := kv.CommonPrefix(got, want)
		rows := s.logits(slices.Concat(r.Prompt, got[:len(got)-1]), 0, len(got))
		for i, row := range slices.Collect(slices.Chunk(rows, s.m.Vocab())) {
			best, largest := 0, 0.0
			for j, v := range row {
				largest = max(largest, math.Abs(float64(v)))
				if v > row[best] {
					best = j
				}
			}
			apart := float64(row[best]-row[got[i]]) / largest
			if apart > tolerance {
				return fmt.Errorf("token %d: %d instead of %d, whose logit is larger by %.1e of "+
					"the largest in the row; %.1e is the tolerance",
					i, got[i], best, apart, tolerance)
			}
			if i == first {
				explain(fmt.Sprintf("answers part at token %d, where %d and %d are %.1e of the "+
					"row's largest logit apart", i, got[i], best, apart))
			}
		}
		return nil
	}
}

// onFamily is a network of package oracle, with quantised weights, on ref or on MLX. Its answers
// must be the same to the last token.
func onFamily(t *testing.T, kind, backend string) *network {
	t.Helper()
	dir := filepath.Join(t.TempDir(), kind)
	config := oracle.Config(t, kind)
	config["max_position_embeddings"] = soloTokens
	list := oracle.Tensors(t, config, oracle.Form{Quantised: true})
	if err := checkpoint.Write(dir, config, list); err != nil {
		t.Fatal(err)
	}
	open := func() (Model, error) {
		if backend == "mlx" {
			return metal.Open(dir, metal.Options{})
		}
		c, err := checkpoint.Open(os.DirFS(dir))
		if err != nil {
			return nil, err
		}
		return ref.New(c, "f32")
	}
	alone, err := newSoloist(open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { alone.m.Close() })
	return &network{name: kind + " on " + backend, open: open, foretell: alone.foretell}
}

// onRef is the embedded network in plain Go, which must give the same answers to the last token,
// however it keeps its KV.
func onRef(t *testing.T, kv string) *network {
	t.Helper()
	open := func() (Model, error) { return openTinyAs(kv) }
	alone, err := newSoloist(open)
	if err != nil {
		t.Fatal(err)
	}
	return &network{name: "tiny on ref, KV " + kv, open: open, shift: 300, foretell: alone.foretell,
		vocab: alone.m.Vocab()}
}

// onMLX is a network on MLX. With quantised weights, and tolerance 0, answers must be the same
// to the last token; float32 weights are multiplied in another order beside more than 16 tokens.
func onMLX(t *testing.T, model string, tolerance float64) *network {
	t.Helper()
	if !metal.Available {
		t.Skip(metal.ErrUnavailable)
	}
	open := func() (Model, error) { return openMLX(model) }
	alone, err := newSoloist(open)
	if err != nil {
		t.Skip(err) // it says how to get the model
	}
	t.Cleanup(func() { alone.m.Close() })
	on := &network{name: model + " on mlx", open: open, shift: 300, foretell: alone.foretell,
		vocab: alone.m.Vocab()}
	if tolerance > 0 {
		on.excuse = alone.excuse(tolerance, func(s string) { t.Log(s) })
	}
	return on
}

// A failing model fails when it is told to, before it does anything.
type failing struct {
	Model
	next func() error
}

func (m *failing) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	if f := m.next; f != nil {
		m.next = nil
		if err := f(); err != nil {
			return err
		}
	}
	return m.Model.Step(tokens, lens, starts, tables, windowSlots, rows, logits, picks, best)
}

// A token takes what the checkpoint says: in each layer a key and a value of each KV head, in
// float32.
func TestBytesPerToken(t *testing.T) {
	for name, want := range map[string]int{"tiny": 1536, "smollm2": 46080, "gemma3-270m": 36864} {
		t.Run(name, func(t *testing.T) {
			open := openTiny
			if name != "tiny" {
				if !metal.Available {
					t.Skip(metal.ErrUnavailable)
				}
				open = func() (Model, error) { return openMLX(name) }
			}
			m, err := open()
			if err != nil {
				t.Skip(err) // it says how to get the model
			}
			defer m.Close()
			src, err := catalog.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			c, err := checkpoint.Open(src.FS)
			if err != nil {
				t.Fatal(err)
			}
			var global, window int
			for i := range c.Config.Layers {
				bytes := c.Config.KVHeads * 2 * c.Config.HeadDim * 4
				if i < len(c.Config.LayerSliding) && c.Config.LayerSliding[i] {
					window += bytes
				} else {
					global += bytes
				}
			}
			if g, w := m.KVBytesPerToken(); g != global || w != window || g+w != want {
				t.Errorf("%d bytes in global layers and %d in sliding ones; the checkpoint says "+
					"%d and %d, together %d", g, w, global, window, want)
			}
		})
	}
}
