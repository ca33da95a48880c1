package engine

import (
	"fmt"
	"slices"

	"loadstone/engine/internal/sample"
)

// A fakeModel is a network whose next token is a hash of the whole sequence as its paged memory has it. What it stores
// as KV is the token and its position, so a wrong block table, a stale block or a missing copy changes the answer or is
// reported as an error. Its answers can be foretold without an engine (see foretell).
//
// With a window it has a sliding layer as well, which stores the same. A token that does not find there what is in its
// window is an error.
type fakeModel struct {
	vocab, context int
	window         int
	blockTokens    int
	kv, local      []cell

	steps int
	// What a test wants to happen in a step, called before it with its 1-based number.
	before func(step int) error
}

// A cell is the KV of one token. pos is 1-based: 0 is memory never written, restored one that WriteKV wrote.
type cell struct{ token, pos int32 }

const restored = -1

const fakeVocab = 61

func newFake() *fakeModel { return &fakeModel{vocab: fakeVocab, context: 4096} }

func (m *fakeModel) Vocab() int   { return m.vocab }
func (m *fakeModel) Context() int { return m.context }
func (m *fakeModel) Window() int  { return m.window }
func (m *fakeModel) Close() error { return nil }

// KVBytesPerToken is 1 in each layer, so KVBytes counts tokens.
func (m *fakeModel) KVBytesPerToken() (global, local int) { return 1, min(m.window, 1) }

func (m *fakeModel) AllocKV(blocks, locals, blockTokens int) error {
	m.blockTokens = blockTokens
	m.kv, m.local = make([]cell, blocks*blockTokens), make([]cell, locals*blockTokens)
	return nil
}

func (m *fakeModel) Step(tokens, lens, starts, tables, locals, rows []int32, logits []float32, picks, best []int32) error {
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
		local := locals
		if m.window > 0 {
			local, locals = locals[:len(table)], locals[len(table):]
		}
		for j := range lens[i] {
			pos := starts[i] + j
			*m.at(m.kv, table, pos) = cell{tokens[0], pos + 1}
			if m.window > 0 {
				*m.at(m.local, local, pos) = cell{tokens[0], pos + 1}
			}
			tokens = tokens[1:]
		}
		if err := m.look(table, local, starts[i], starts[i]+lens[i]); err != nil {
			return err
		}
	}
	if m.window > 0 && len(locals) > 0 {
		return fmt.Errorf("fake: %d locals too many", len(locals))
	}
	next := func(row int32) (int32, error) {
		seq, end := 0, int32(0)
		for row >= end+lens[seq] {
			end += lens[seq]
			seq++
		}
		text, err := m.read(split[seq], starts[seq]+row-end+1)
		return nextToken(text), err
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
			return nil, fmt.Errorf("fake: sequence %d has %d tokens at %d and %d table entries left", i, n, starts[i], len(tables))
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
		return nil, fmt.Errorf("fake: %d table entries and %d tokens too many", len(tables), len(tokens)-int(total))
	}
	for b := range writers {
		if users[b] > 1 {
			return nil, fmt.Errorf("fake: block %d is written while %d sequences have it", b, users[b])
		}
	}
	return split, nil
}

// look checks that the sliding layer has what the tokens from start to end see.
func (m *fakeModel) look(table, local []int32, start, end int32) error {
	if m.window == 0 {
		return nil
	}
	for pos := max(0, start-int32(m.window)+1); pos < end; pos++ {
		if local[int(pos)/m.blockTokens] < 0 {
			return fmt.Errorf("fake: position %d, which position %d sees, has no local", pos, start)
		}
		got, want := *m.at(m.local, local, pos), *m.at(m.kv, table, pos)
		if got.token != want.token || got.pos != pos+1 && got.pos != restored {
			return fmt.Errorf("fake: the local of position %d holds token %d of position %d; it is token %d", pos, got.token, got.pos-1, want.token)
		}
	}
	return nil
}

func (m *fakeModel) at(kv []cell, table []int32, pos int32) *cell {
	return &kv[table[int(pos)/m.blockTokens]*int32(m.blockTokens)+pos%int32(m.blockTokens)]
}

// read returns the first n tokens of a sequence as the memory has them.
func (m *fakeModel) read(table []int32, n int32) ([]int32, error) {
	text := make([]int32, n)
	for pos := range n {
		c := *m.at(m.kv, table, pos)
		if c.pos != pos+1 && c.pos != restored {
			return nil, fmt.Errorf("fake: position %d of a sequence holds the KV of position %d", pos, c.pos-1)
		}
		text[pos] = c.token
	}
	return text, nil
}

func (m *fakeModel) CopyKV(dst, src, dstLocal, srcLocal, tokens int) error {
	if dst == src && dstLocal == srcLocal || tokens < 1 || tokens >= m.blockTokens {
		return fmt.Errorf("fake: copy of %d tokens from block %d to %d", tokens, src, dst)
	}
	copy(m.kv[dst*m.blockTokens:][:tokens], m.kv[src*m.blockTokens:][:tokens])
	if m.window > 0 {
		copy(m.local[dstLocal*m.blockTokens:][:tokens], m.local[srcLocal*m.blockTokens:][:tokens])
	}
	return nil
}

// parts is what n bytes are of: a block and a local.
func (m *fakeModel) parts(block, local, tokens, n int) ([][]cell, error) {
	parts := [][]cell{m.kv[block*m.blockTokens:]}
	if local >= 0 && m.window > 0 {
		parts = append(parts, m.local[local*m.blockTokens:])
	}
	if tokens < 1 || tokens > m.blockTokens || n != tokens*len(parts) {
		return nil, fmt.Errorf("fake: %d tokens of block %d and local %d in %d bytes", tokens, block, local, n)
	}
	return parts, nil
}

func (m *fakeModel) ReadKV(block, local, tokens int, dst []byte) error {
	parts, err := m.parts(block, local, tokens, len(dst))
	if err != nil {
		return err
	}
	for _, part := range parts {
		for i, c := range part[:tokens] {
			if c.pos == 0 {
				return fmt.Errorf("fake: token %d of block %d and local %d was never written", i, block, local)
			}
			dst[i] = byte(c.token)
		}
		dst = dst[tokens:]
	}
	return nil
}

func (m *fakeModel) WriteKV(block, local, tokens int, src []byte) error {
	parts, err := m.parts(block, local, tokens, len(src))
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

// nextToken is the model.
func nextToken(text []int32) int32 {
	return int32(chainHash(uint64(len(text)), text) >> 33 % fakeVocab)
}

// foretell is the answer that any engine must give to a request.
func foretell(r Request) []int32 {
	text := slices.Clone(r.Prompt)
	draws := sample.New(r.Sampling, nil, 0)
	var row sample.Distribution
	logits := make([]float32, fakeVocab)
	for range r.MaxTokens {
		clear(logits)
		logits[nextToken(text)] = 1
		t, _ := draws.Draw(logits, &row)
		if slices.Contains(r.Stop, t) {
			break
		}
		text = append(text, t)
	}
	return text[len(r.Prompt):]
}

// greedy is the answer of most tokens to a prompt.
func greedy(prompt []int32, most int) []int32 {
	return foretell(Request{Prompt: prompt, MaxTokens: most})
}
