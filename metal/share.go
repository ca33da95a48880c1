//go:build mlx

package metal

import "fmt"

// A span is a range of indices: from is the first, to the one after the last.
type span struct{ from, to int }

func (s span) n() int { return s.to - s.from }

// times returns the span of elements where each index of s stands for n elements.
func (s span) times(n int) span { return span{s.from * n, s.to * n} }

// A layerShare is the share of each layer that one part has.
type layerShare struct {
	heads, kv span // query heads and KV heads
	inner     span // inner dimensions of the MLP
	experts   span // inner dimensions of each expert of a mixture
}

// shareOf returns the share of part rank of so many parts. It divides the KV heads, with the query
// heads that belong to them. Where there are fewer KV heads than parts, several parts have the same
// KV head and divide its query heads.
func shareOf(rank, parts, heads, kvHeads, inner, expertInner int) (s layerShare, err error) {
	of := func(n int) span { return span{n * rank / parts, n * (rank + 1) / parts} }
	each := heads / kvHeads
	switch same := parts / kvHeads; {
	case kvHeads >= parts:
		s.kv = of(kvHeads)
		s.heads = s.kv.times(each)
	case parts%kvHeads != 0:
		return s, &SplitError{parts, fmt.Sprintf("%d KV heads are no divisor of that", kvHeads)}
	case each < same:
		return s, &SplitError{parts, fmt.Sprintf("it has %d heads", heads)}
	default:
		k, i := rank/same, rank%same
		s.kv = span{k, k + 1}
		s.heads = span{k*each + each*i/same, k*each + each*(i+1)/same}
	}
	for _, mlp := range []struct {
		n  int
		to *span
	}{{inner, &s.inner}, {expertInner, &s.experts}} {
		unit := 128 // the largest group of quantised weights, which no cut may divide
		for mlp.n > 0 && (mlp.n%unit != 0 || mlp.n/unit < parts) {
			if unit /= 2; unit == 0 {
				return s, &SplitError{parts, fmt.Sprintf("an MLP has %d inner numbers", mlp.n)}
			}
		}
		*mlp.to = of(mlp.n / unit).times(unit)
	}
	return s, nil
}
