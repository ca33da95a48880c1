//go:build mlx

package metal

import (
	"fmt"
	"slices"
)

// checkStep refuses what would make the C++ side read or write outside its arrays.
func (m *Model) checkStep(tokens, lens, starts, tables, locals, rows []int32, logits []float32, picks, best []int32) error {
	if m.blocks == 0 {
		return fmt.Errorf("metal: Step before AllocKV")
	}
	if len(lens) == 0 || len(starts) != len(lens) {
		return fmt.Errorf("metal: Step with %d lengths and %d starts: one of each per sequence, and at least one sequence", len(lens), len(starts))
	}
	total, blocks := 0, 0
	for i, n := range lens {
		end := int(starts[i]) + int(n)
		if n < 1 || starts[i] < 0 || end > m.cfg.maxPositions {
			return fmt.Errorf("metal: sequence %d has %d new tokens from position %d; the model takes at least 1 and ends at %d", i, n, starts[i], m.cfg.maxPositions)
		}
		total += int(n)
		blocks += (end + m.blockTokens - 1) / m.blockTokens
	}
	if total != len(tokens) || blocks != len(tables) || blocks != len(locals) {
		return fmt.Errorf("metal: Step got %d tokens, %d table entries and %d locals; the lengths ask for %d tokens and %d entries", len(tokens), len(tables), len(locals), total, blocks)
	}
	for i, id := range tokens {
		if id < 0 || int(id) >= m.cfg.vocab {
			return fmt.Errorf("metal: token %d is %d; the vocabulary has %d", i, id, m.cfg.vocab)
		}
	}
	for _, b := range tables {
		if b < 0 || int(b) >= m.blocks {
			return fmt.Errorf("metal: block %d in a table; the cache has %d", b, m.blocks)
		}
	}
	for i, n := range lens {
		entries := (int(starts[i]+n) + m.blockTokens - 1) / m.blockTokens
		for j := max(0, int(starts[i])-m.cfg.window+1) / m.blockTokens; m.kvLocal > 0 && j < entries; j++ {
			if l := locals[j]; l < 0 || int(l) >= m.locals {
				return fmt.Errorf("metal: sequence %d sees local %d; the cache has %d", i, l, m.locals)
			}
		}
		locals = locals[entries:]
	}
	for what, asked := range map[string][]int32{"row": rows, "pick": picks} {
		for i, r := range asked {
			if r < 0 || int(r) >= total || i > 0 && r <= asked[i-1] {
				return fmt.Errorf("metal: %s %d is token %d; rows and picks ascend and stay below %d", what, i, r, total)
			}
		}
	}
	for _, r := range picks {
		if slices.Contains(rows, r) {
			return fmt.Errorf("metal: token %d is among the rows and among the picks", r)
		}
	}
	if len(logits) != len(rows)*m.cfg.vocab {
		return fmt.Errorf("metal: room for %d logits; %d rows of %d need %d", len(logits), len(rows), m.cfg.vocab, len(rows)*m.cfg.vocab)
	}
	if len(best) != len(picks) {
		return fmt.Errorf("metal: room for %d of %d picks", len(best), len(picks))
	}
	return nil
}

func (m *Model) checkBlock(block, local, tokens int) error {
	if block < 0 || block >= m.blocks || m.kvLocal > 0 && (local < -1 || local >= m.locals) || tokens < 0 || tokens > m.blockTokens {
		return fmt.Errorf("metal: %d tokens of block %d and local %d; the cache has %d and %d of %d", tokens, block, local, m.blocks, m.locals, m.blockTokens)
	}
	return nil
}

func (m *Model) checkKV(block, local, tokens, size int) error {
	if err := m.checkBlock(block, local, tokens); err != nil {
		return err
	}
	want := tokens * m.kvGlobal
	if local >= 0 {
		want += tokens * m.kvLocal
	}
	if size != want {
		return fmt.Errorf("metal: %d tokens of KV take %d bytes, not %d", tokens, want, size)
	}
	return nil
}
