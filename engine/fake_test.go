package engine

import (
	"fmt"
	"slices"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/sample"
)

// A fakeModel is a network whose next token is a hash of the whole sequence as its paged memory
// has it. As KV it stores the token and its position, so a wrong block table, a stale block or a
// missing copy changes the answer or is reported as an error. Its answers can be foretold without
// an engine (see foretell).
//
// With a window it has a sliding layer as well, which stores the same. It is an error if a token
// does not find there what is in its window.
type fakeModel struct {
	vocab, context int
	window         int
	blockTokens    int
	blocks, slots  []cell

	next  func(text []int32) int32 // nil: nextToken
	steps int
	// before is what a test wants to happen; it is called before a step with its 1-based number.
	before func(step int) error
}

// A cell is the KV of one token. pos is 1-based: 0 is memory that was never written, restored is
// memory that WriteKV wrote.
type cell struct{ token, pos int32 }

const restored = -1

const fakeVocab = 61

func newFake() *fakeModel { return &fakeModel{vocab: fakeVocab, context: 4096} }

func (m *fakeModel) Vocab() int   { return m.vocab }
func (m *fakeModel) Context() int { return m.context }
func (m *fakeModel) Window() int  { return m.window }
func (m *fakeModel) Close() error { return nil }

// KVBytesPerToken is 1 in each layer, so Config.KVBytes counts tokens.
func (m *fakeModel) KVBytesPerToken() (global, window int) { return 1, min(m.window, 1) }

func (m *fakeModel) AllocKV(blocks, windowSlots, blockTokens int) error {
	m.blockTokens = blockTokens
	m.blocks = make([]cell, blocks*blockTokens)
	m.slots = make([]cell, windowSlots*blockTokens)
	return nil
}

func (m *fakeModel) Step(tokens, lens, starts, tables, windowSlots, rows []int32, logits []float32,
	picks, best []int32) error {
	m.steps++
	if m.before != nil {
		if err := m.before(m.steps); err != nil {
			return err
		}
	}
	split, err := m.split(tokens, lens, starts, tables)
	if err != nil {
		return err
	}
	for i, table := range split {
		slots := windowSlots
		if m.window > 0 {
			slots, windowSlots = windowSlots[:len(table)], windowSlots[len(table):]
		}
		for j := range lens[i] {
			pos := starts[i] + j
			*m.at(m.blocks, table, pos) = cell{tokens[0], pos + 1}
			if m.window > 0 {
				*m.at(m.slots, slots, pos) = cell{tokens[0], pos + 1}
			}
			tokens = tokens[1:]
		}
		if err := m.look(table, slots, starts[i], starts[i]+lens[i]); err != nil {
			return err
		}
	}
	if m.window > 0 && len(windowSlots) > 0 {
		return fmt.Errorf("fake: %d window slots too many", len(windowSlots))
	}
	next := func(row int32) (int32, error) {
		seq, end := 0, int32(0)
		for row >= end+lens[seq] {
			end += lens[seq]
			seq++
		}
		text, err := m.read(split[seq], starts[seq]+row-end+1)
		return m.follow(text), err
	}
	clear(logits)
	for i, row := range rows {
		token, err := next(row)
		if err != nil {
			return err
		}
		logits[i*m.vocab+int(token)] = 1
	}
	for i, row := range picks {
		if best[i], err = next(row); err != nil {
			return err
		}
	}
	return nil
}

// split checks a batch against the contract of Model.Step and returns each sequence's table.
func (m *fakeModel) split(tokens, lens, starts, tables []int32) ([][]int32, error) {
	var split [][]int32
	users, writers := map[int32]int{}, map[int32]int{}
	total := int32(0)
	for i, n := range lens {
		size := int32(m.blockTokens)
		entries := (starts[i] + n + size - 1) / size
		if n < 1 || int(entries) > len(tables) {
			return nil, fmt.Errorf("fake: sequence %d has %d tokens at %d and %d entries left",
				i, n, starts[i], len(tables))
		}
		table := tables[:entries]
		tables = tables[entries:]
		for p, b := range table {
			users[b]++
			if int32(p) >= starts[i]/size {
				writers[b]++
			}
		}
		split = append(split, table)
		total += n
	}
	if len(tables) != 0 || int(total) != len(tokens) {
		return nil, fmt.Errorf("fake: %d table entries and %d tokens too many",
			len(tables), len(tokens)-int(total))
	}
	for b := range writers {
		if users[b] > 1 {
			return nil, fmt.Errorf("fake: block %d is written while %d sequences have it",
				b, users[b])
		}
	}
	return split, nil
}

// look checks that the sliding layer has what the tokens from start to end see.
func (m *fakeModel) look(table, slots []int32, start, end int32) error {
	if m.window == 0 {
		return nil
	}
	for pos := max(0, start-int32(m.window)+1); pos < end; pos++ {
		if slots[int(pos)/m.blockTokens] < 0 {
			return fmt.Errorf("fake: position %d, which position %d sees, has no window slot",
				pos, start)
		}
		got, want := *m.at(m.slots, slots, pos), *m.at(m.blocks, table, pos)
		if got.token != want.token || got.pos != pos+1 && got.pos != restored {
			return fmt.Errorf("fake: the window slot of position %d holds token %d of position "+
				"%d; it is token %d", pos, got.token, got.pos-1, want.token)
		}
	}
	return nil
}

func (m *fakeModel) at(cells []cell, table []int32, pos int32) *cell {
	size := int32(m.blockTokens)
	return &cells[table[pos/size]*size+pos%size]
}

// read returns the first n tokens of a sequence as the memory has them.
func (m *fakeModel) read(table []int32, n int32) ([]int32, error) {
	text := make([]int32, n)
	for pos := range n {
		c := *m.at(m.blocks, table, pos)
		if c.pos != pos+1 && c.pos != restored {
			return nil, fmt.Errorf("fake: position %d of a sequence holds the KV of position %d",
				pos, c.pos-1)
		}
		text[pos] = c.token
	}
	return text, nil
}

func (m *fakeModel) CopyKV(dst, src, dstWindow, srcWindow, tokens int) error {
	if dst == src && dstWindow == srcWindow || tokens < 1 || tokens >= m.blockTokens {
		return fmt.Errorf("fake: copy of %d tokens from block %d to %d", tokens, src, dst)
	}
	copy(m.blocks[dst*m.blockTokens:][:tokens], m.blocks[src*m.blockTokens:][:tokens])
	if m.window > 0 {
		copy(m.slots[dstWindow*m.blockTokens:][:tokens], m.slots[srcWindow*m.blockTokens:][:tokens])
	}
	return nil
}

// parts returns what n bytes are to be copied from or to: a block, and perhaps a window slot.
func (m *fakeModel) parts(block, window, tokens, n int) ([][]cell, error) {
	parts := [][]cell{m.blocks[block*m.blockTokens:]}
	if window >= 0 && m.window > 0 {
		parts = append(parts, m.slots[window*m.blockTokens:])
	}
	if tokens < 1 || tokens > m.blockTokens || n != tokens*len(parts) {
		return nil, fmt.Errorf("fake: %d tokens of block %d and window slot %d in %d bytes",
			tokens, block, window, n)
	}
	return parts, nil
}

func (m *fakeModel) ReadKV(block, window, tokens int, dst []byte) error {
	parts, err := m.parts(block, window, tokens, len(dst))
	if err != nil {
		return err
	}
	for _, part := range parts {
		for i, c := range part[:tokens] {
			if c.pos == 0 {
				return fmt.Errorf("fake: token %d of block %d and window slot %d was never written",
					i, block, window)
			}
			dst[i] = byte(c.token)
		}
		dst = dst[tokens:]
	}
	return nil
}

func (m *fakeModel) WriteKV(block, window, tokens int, src []byte) error {
	parts, err := m.parts(block, window, tokens, len(src))
	if err != nil {
		return err
	}
	for _, part := range parts {
		for i, b := range src[:tokens] {
			part[i] = cell{int32(b), restored}
		}
		src = src[tokens:]
	}
	return nil
}

// nextToken is the model's function from a text to the token that follows it.
func nextToken(text []int32) int32 {
	return int32(kv.Hash(uint64(len(text)), text) >> 33 % fakeVocab)
}

// parrot is a function of a model that mostly says what it has said before: three times in four the
// token depends on the one before it alone, and else on the whole text.
func parrot(text []int32) int32 {
	if next := nextToken(text); next%4 == 0 {
		return next
	}
	return nextToken(text[len(text)-1:])
}

func (m *fakeModel) follow(text []int32) int32 {
	if m.next != nil {
		return m.next(text)
	}
	return nextToken(text)
}

// foretell returns the answer that any engine must give to a request.
func foretell(r Request) []int32 { return foretellBy(nextToken, r) }

// foretellBy is foretell where the model has this function.
func foretellBy(next func([]int32) int32, r Request) []int32 {
	return foretoldBy(next, r).ids
}

// foretoldBy is foretellBy with log-probabilities, where the request wants them.
func foretoldBy(next func([]int32) int32, r Request) (f foretold) {
	text := slices.Clone(r.Prompt)
	draws := sample.New(r.Sampling, r.Prompt, r.Mask, r.Logprobs)
	var row sample.Distribution
	logits := make([]float32, fakeVocab)
	for range r.MaxTokens {
		clear(logits)
		logits[next(text)] = 1
		t, ok := draws.Draw(logits, &row)
		if !ok {
			panic("no token could be drawn")
		}
		if slices.Contains(r.Stop, t) {
			break
		}
		text = append(text, t)
		f.probs = append(f.probs, draws.Logprobs())
	}
	f.ids = text[len(r.Prompt):]
	return f
}

// greedy returns the answer of n tokens to a prompt.
func greedy(prompt []int32, n int) []int32 {
	return foretell(Request{Prompt: prompt, MaxTokens: n})
}

// named is the identity of an agent's requests in an engine with one principal.
func named(agent string) kv.Identity { return kv.Identity{Agent: kv.Agent{Name: agent}} }
