package tokenizer

// pairTable maps a pair of tokens to the rank of its merge. It is a hash table with open
// addressing, because most look-ups find nothing and the table is the hot spot of merging.
type pairTable struct {
	keys  []uint64 // left<<32 | right, plus 1; 0 is an empty slot
	ranks []uint32
	mask  uint64
}

// newPairTable makes a table for n pairs.
func newPairTable(n int) pairTable {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return pairTable{keys: make([]uint64, size), ranks: make([]uint32, size),
		mask: uint64(size - 1)}
}

// slot returns the index of the key's entry, or of the empty slot where the entry belongs.
func (t *pairTable) slot(key uint64) uint64 {
	h := key * 0x9e3779b97f4a7c15
	for i := (h >> 32) & t.mask; ; i = (i + 1) & t.mask {
		if t.keys[i] == key || t.keys[i] == 0 {
			return i
		}
	}
}

func (t *pairTable) get(left, right int32) (rank uint32, ok bool) {
	key := uint64(uint32(left))<<32 + uint64(uint32(right)) + 1
	i := t.slot(key)
	return t.ranks[i], t.keys[i] == key
}

func (t *pairTable) set(left, right int32, rank uint32) {
	key := uint64(uint32(left))<<32 + uint64(uint32(right)) + 1
	i := t.slot(key)
	t.keys[i], t.ranks[i] = key, rank
}
