package tokenizer

// merger is the working memory for the merges of one word. Gemma's vocabulary allows words of any
// length, so candidates are in a heap and symbols in a linked list, which takes time n log n for n
// characters. A scan for the lowest rank would be quadratic.
type merger struct {
	symbols []symbol
	heap    []uint64 // rank<<32 | position of the left symbol
}

type symbol struct {
	id         int32 // -1: merged into its left neighbour
	prev, next int32 // -1: none
}

// merge merges the symbols and appends the resulting ids to dst.
func (m *merger) merge(dst []int32, b *bpe) []int32 {
	s := m.symbols
	m.heap = m.heap[:0]
	for i := range s {
		s[i].prev, s[i].next = int32(i-1), int32(i+1)
	}
	if len(s) > 0 {
		s[len(s)-1].next = -1
	}
	for i := range len(s) - 1 {
		m.candidate(b, int32(i))
	}
	for len(m.heap) > 0 {
		key := m.pop()
		rank, left := uint32(key>>32), int32(uint32(key))
		if s[left].id < 0 || s[left].next < 0 {
			continue
		}
		right := s[left].next
		// The pair at this position may have changed since. As in Hugging Face tokenizers the
		// candidate is valid as long as the pair now at this position makes the same token.
		now, ok := b.merges.get(s[left].id, s[right].id)
		if !ok || b.merged[now] != b.merged[rank] {
			continue
		}
		s[left].id = b.merged[rank]
		s[left].next = s[right].next
		s[right].id = -1
		if next := s[left].next; next >= 0 {
			s[next].prev = left
			m.candidate(b, left)
		}
		if prev := s[left].prev; prev >= 0 {
			m.candidate(b, prev)
		}
	}
	for i := range s {
		if s[i].id >= 0 {
			dst = append(dst, s[i].id)
		}
	}
	return dst
}

// candidate puts the pair whose left symbol is at left into the heap if the pair has a merge.
func (m *merger) candidate(b *bpe, left int32) {
	rank, ok := b.merges.get(m.symbols[left].id, m.symbols[m.symbols[left].next].id)
	if !ok {
		return
	}
	m.heap = append(m.heap, uint64(rank)<<32|uint64(uint32(left)))
	i := len(m.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if m.heap[parent] <= m.heap[i] {
			break
		}
		m.heap[parent], m.heap[i] = m.heap[i], m.heap[parent]
		i = parent
	}
}

// pop takes the smallest candidate out of the heap.
func (m *merger) pop() uint64 {
	h := m.heap
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[i] <= h[child] {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	m.heap = h
	return top
}
