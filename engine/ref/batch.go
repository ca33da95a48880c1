package ref

import (
	"errors"
	"fmt"
)

// item is one token of a batch.
type item struct {
	id, pos             int
	seq                 int     // index of its sequence in the batch
	blocks, windowSlots []int32 // the tables of that sequence, one entry for each block of tokens
}

// table returns the table for a sliding layer or for a global one.
func (it *item) table(sliding bool) []int32 {
	if sliding {
		return it.windowSlots
	}
	return it.blocks
}

// batch checks a step's arrays and returns its tokens one by one.
func (m *Model) batch(tokens, lens, starts, tables, windowSlots []int32) ([]item, error) {
	if m.closed {
		return nil, errors.New("the model is closed")
	}
	if m.kv.blocks == 0 {
		return nil, errors.New("Step before AllocKV")
	}
	if len(lens) != len(starts) {
		return nil, fmt.Errorf("%d lens and %d starts", len(lens), len(starts))
	}
	if m.Window() == 0 {
		windowSlots = tables // no layer reads them
	}
	if len(windowSlots) != len(tables) {
		return nil, fmt.Errorf("%d blocks and %d window slots", len(tables), len(windowSlots))
	}
	items := m.s.items[:0]
	for i, n := range lens {
		start := starts[i]
		if n < 1 || start < 0 || int64(start)+int64(n) > int64(m.cfg.MaxPositions) {
			return nil, fmt.Errorf("sequence %d: %d tokens from position %d; the context has %d",
				i, n, start, m.cfg.MaxPositions)
		}
		entries := (int(start+n) + m.kv.blockTokens - 1) / m.kv.blockTokens
		if int(n) > len(tokens) || entries > len(tables) {
			return nil, fmt.Errorf("sequence %d: %d tokens and %d blocks; %d and %d are left",
				i, n, entries, len(tokens), len(tables))
		}
		if err := m.checkSequence(tokens[:n], int(start), tables[:entries],
			windowSlots[:entries]); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		for j, id := range tokens[:n] {
			items = append(items, item{id: int(id), pos: int(start) + j, seq: i,
				blocks: tables[:entries], windowSlots: windowSlots[:entries]})
		}
		tokens, tables, windowSlots = tokens[n:], tables[entries:], windowSlots[entries:]
	}
	if len(tokens) != 0 || len(tables) != 0 {
		return nil, fmt.Errorf("%d tokens and %d blocks belong to no sequence",
			len(tokens), len(tables))
	}
	m.s.items = items
	return items, nil
}

// checkSequence checks the numbers of one sequence, whose first new token is at position start.
func (m *Model) checkSequence(tokens []int32, start int, blocks, windowSlots []int32) error {
	for _, block := range blocks {
		if block < 0 || int(block) >= m.kv.blocks {
			return fmt.Errorf("block %d of %d", block, m.kv.blocks)
		}
	}
	// Entries before the window of the first new token may hold anything.
	if window := m.Window(); window > 0 {
		for _, slot := range windowSlots[max(0, start-window+1)/m.kv.blockTokens:] {
			if slot < 0 || int(slot) >= m.kv.windowSlots {
				return fmt.Errorf("window slot %d of %d", slot, m.kv.windowSlots)
			}
		}
	}
	for _, id := range tokens {
		if id < 0 || int(id) >= m.cfg.VocabSize {
			return fmt.Errorf("token %d is outside the vocabulary of %d", id, m.cfg.VocabSize)
		}
	}
	return nil
}
