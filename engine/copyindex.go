package engine

// A copyIndex finds where the last tokens of a text came before. It holds where each run of
// draftKey tokens ended last, by hash, counted from 1, in buckets of two. Another run may have the
// same hash, and the text may have gone on otherwise since, so that what is found is compared with
// the text. The zero value is that of no text. It takes 8 to 16 bytes and a few nanoseconds for
// each token.
type copyIndex struct {
	ends    []int32
	indexed int // how many tokens of the text are in ends
}

// minEnds is the length of the shortest index.
const minEnds = 1 << 8

// forget notes that the text goes on otherwise from token n on.
func (x *copyIndex) forget(n int) { x.indexed = min(x.indexed, n) }

// add takes in the tokens that it has not seen, except the last run, which is to be looked up.
func (x *copyIndex) add(tokens []int32) {
	if size := max(len(x.ends), minEnds); size < 2*len(tokens) || x.ends == nil {
		for size < 2*len(tokens) {
			size *= 2
		}
		x.ends, x.indexed = make([]int32, size), 0
	}
	for i := max(x.indexed, draftKey); i < len(tokens); i++ {
		x.place(tokens, i)
	}
	x.indexed = max(x.indexed, len(tokens))
}

// place notes that a run ends at token i: over the same one, else over the one that ended first.
func (x *copyIndex) place(tokens []int32, i int) {
	at := x.hash(tokens[i-draftKey : i])
	switch {
	case x.same(tokens, at, i):
	case x.same(tokens, at^1, i) || x.before(at^1, i) < x.before(at, i):
		at ^= 1
	}
	x.ends[at] = int32(i)
}

// before returns ends[at], 0 where that is of a text that went on otherwise behind token i.
func (x *copyIndex) before(at uint32, i int) int32 {
	if end := x.ends[at]; int(end) <= i {
		return end
	}
	return 0
}

// same reports whether the run that ends[at] knows of is the one that ends at token i.
func (x *copyIndex) same(tokens []int32, at uint32, i int) bool {
	end := int(x.ends[at])
	return draftKey <= end && end <= i &&
		[draftKey]int32(tokens[end-draftKey:]) == [draftKey]int32(tokens[i-draftKey:])
}

func (x *copyIndex) hash(key []int32) uint32 {
	h := uint64(0)
	for _, t := range key {
		h = (h ^ uint64(uint32(t))) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return uint32(h) & uint32(len(x.ends)-1)
}

// find returns what followed the last time the text ended as it does, at most n tokens, and how
// many tokens before that were the same, counted up to the largest of alike; nil and 0 if it never
// did. What it returns is a part of tokens.
func (x *copyIndex) find(tokens []int32, n int) (found []int32, same int) {
	if len(tokens) <= draftKey || n < 1 {
		return nil, 0
	}
	x.add(tokens)
	at, end := x.hash(tokens[len(tokens)-draftKey:]), 0
	for _, i := range [2]uint32{at, at ^ 1} {
		if e := int(x.ends[i]); e < len(tokens) && e > end && x.same(tokens, i, len(tokens)) {
			end = e
		}
	}
	if end == 0 {
		return nil, 0
	}
	for same < min(end, alike[len(alike)-1]) && tokens[end-1-same] == tokens[len(tokens)-1-same] {
		same++
	}
	return tokens[end:min(end+n, len(tokens))], same
}
