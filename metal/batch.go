//go:build mlx

package metal

import (
	"fmt"
	"slices"
)

// checkStep refuses arguments that would make the C++ side read or write outside its arrays.
func (m *Model) checkStep(tokens, lens, starts, tables, windowSlots, rows []int32,
	logits []float32, picks, best []int32) error {
	if m.blocks == 0 {
		return fmt.Errorf("mlx: Step before AllocKV")
	}
	if len(lens) == 0 || len(starts) != len(lens) {
		return fmt.Errorf("mlx: Step with %d lengths and %d starts: "+
			"one of each per sequence, and at least one sequence", len(lens), len(starts))
	}
	total, blocks := 0, 0
	for i, n := range lens {
		end := int(starts[i]) + int(n)
		if n < 1 || starts[i] < 0 || end > m.cfg.MaxPositions {
			return fmt.Errorf("mlx: sequence %d has %d new tokens from position %d; "+
				"the model takes at least 1 and ends at %d", i, n, starts[i], m.cfg.MaxPositions)
		}
		total += int(n)
		blocks += (end + m.blockTokens - 1) / m.blockTokens
	}
	if total != len(tokens) || blocks != len(tables) || blocks != len(windowSlots) {
		return fmt.Errorf("mlx: Step got %d tokens, %d table entries and %d window slots; "+
			"the lengths ask for %d tokens and %d entries",
			len(tokens), len(tables), len(windowSlots), total, blocks)
	}
	for i, id := range tokens {
		if id < 0 || int(id) >= m.cfg.VocabSize {
			return fmt.Errorf("mlx: token %d is %d; the vocabulary has %d", i, id, m.cfg.VocabSize)
		}
	}
	for _, b := range tables {
		if b < 0 || int(b) >= m.blocks {
			return fmt.Errorf("mlx: block %d in a table; the cache has %d", b, m.blocks)
		}
	}
	if m.kvSliding > 0 {
		if err := m.checkWindowSlots(lens, starts, windowSlots); err != nil {
			return err
		}
	}
	return m.checkResults(total, rows, logits, picks, best)
}

// checkWindowSlots looks at the window slots that a new token of each sequence sees.
func (m *Model) checkWindowSlots(lens, starts, windowSlots []int32) error {
	for i, n := range lens {
		entries := (int(starts[i]+n) + m.blockTokens - 1) / m.blockTokens
		for j := max(0, int(starts[i])-m.cfg.SlidingWindow+1) / m.blockTokens; j < entries; j++ {
			if s := windowSlots[j]; s < 0 || int(s) >= m.windowSlots {
				return fmt.Errorf("mlx: sequence %d sees window slot %d; the cache has %d",
					i, s, m.windowSlots)
			}
		}
		windowSlots = windowSlots[entries:]
	}
	return nil
}

// checkResults looks at the results that are wanted of a step of total tokens.
func (m *Model) checkResults(total int, rows []int32, logits []float32, picks, best []int32) error {
	for what, wanted := range map[string][]int32{"row": rows, "pick": picks} {
		for i, r := range wanted {
			if r < 0 || int(r) >= total || i > 0 && r <= wanted[i-1] {
				return fmt.Errorf("mlx: %s %d is token %d; rows and picks ascend and stay below %d",
					what, i, r, total)
			}
		}
	}
	for _, r := range picks {
		if slices.Contains(rows, r) {
			return fmt.Errorf("mlx: token %d is among the rows and among the picks", r)
		}
	}
	if len(logits) != len(rows)*m.cfg.VocabSize {
		return fmt.Errorf("mlx: room for %d logits; %d rows of %d need %d",
			len(logits), len(rows), m.cfg.VocabSize, len(rows)*m.cfg.VocabSize)
	}
	if len(best) != len(picks) {
		return fmt.Errorf("mlx: room for %d of %d picks", len(best), len(picks))
	}
	return nil
}

// checkBlock looks at the arguments of CopyKV, ReadKV and WriteKV.
func (m *Model) checkBlock(block, windowSlot, tokens int) error {
	slotExists := m.kvSliding == 0 || windowSlot >= -1 && windowSlot < m.windowSlots
	if block < 0 || block >= m.blocks || !slotExists || tokens < 0 || tokens > m.blockTokens {
		return fmt.Errorf("mlx: %d tokens of block %d and window slot %d; "+
			"the cache has %d and %d of %d",
			tokens, block, windowSlot, m.blocks, m.windowSlots, m.blockTokens)
	}
	return nil
}

// checkKV also compares the size of the buffer with that of the tokens.
func (m *Model) checkKV(block, windowSlot, tokens, size int) error {
	if err := m.checkBlock(block, windowSlot, tokens); err != nil {
		return err
	}
	want := tokens * m.kvGlobal
	if windowSlot >= 0 {
		want += tokens * m.kvSliding
	}
	if size != want {
		return fmt.Errorf("mlx: %d tokens of KV take %d bytes, not %d", tokens, want, size)
	}
	return nil
}
