//go:build mlx

package metal

import "fmt"

// A span is a run of things, from the first one up to the one behind the last.
type span struct{ from, to int }

func (s span) n() int { return s.to - s.from }

// times returns the span of what there are n of for each thing.
func (s span) times(n int) span { return span{s.from * n, s.to * n} }

// A layerShare is what a part has of each layer.
type layerShare struct {
	heads, kv span
	inner     span // of an MLP
	experts   span // the same of each expert of a mixture
}

// shareOf returns the share of one of so many parts. KV heads are divided, with the query heads that
// belong to them; where there are fewer than parts, several parts have the same one, and divide its
// query heads.
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
