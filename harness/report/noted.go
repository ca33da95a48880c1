package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/stats"
	"loadstone/harness/table"
)

// noted says what the client did not understand or believe of what the server sent: each kind with
// the number of requests that have it, and one example.
func (r *Report) noted() []string {
	counts, examples := map[record.Note]int{}, map[record.Note]string{}
	for i := range r.Results {
		for kind, n := range r.Results[i].Pooled.Notes {
			counts[kind] += n
		}
		for j := range r.Results[i].Records {
			for _, n := range r.Results[i].Records[j].Notes {
				if kind := n.Kind(); examples[kind] == "" {
					examples[kind] = string(n)
				}
			}
		}
	}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b record.Note) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	texts := r.ownClock()
	for _, kind := range kinds {
		text := cmp.Or(examples[kind], string(kind))
		texts = append(texts, fmt.Sprintf("%d × %s", counts[kind],
			table.Clip(table.OneLine(text), 160)))
	}
	return texts
}

// ownClock says where a server's own times cannot be those of its answers: it claims less than half
// of the time in which their pieces came, for most of them. A client that was held up for a moment,
// or a network that was, makes single answers look so.
func (r *Report) ownClock() []string {
	var claimed, seen []time.Duration
	timed := 0
	for i := range r.Results {
		for j := range r.Results[i].Records {
			one := &r.Results[i].Records[j]
			n := len(one.Chunks)
			if one.Outcome != record.OK || one.Slow || one.Server.Total < 0 || n < 2 {
				continue
			}
			timed++
			if span := one.Chunks[n-1] - one.Chunks[0]; one.Server.Total < span/2 {
				claimed, seen = append(claimed, one.Server.Total), append(seen, span)
			}
		}
	}
	if timed < minTimed || len(claimed) <= timed/2 {
		return nil
	}
	return []string{fmt.Sprintf("%d × the server says that it took %s for an answer whose pieces "+
		"came over %s (medians): its own times are not to be believed", len(claimed),
		table.Duration(stats.Describe(claimed).P50), table.Duration(stats.Describe(seen).P50))}
}

// minTimed is of how many answers a server's own times are judged.
const minTimed = 5

// unevenPieces is how far from 1 the tokens of a piece may be on average: a character that is cut
// off at the end is a piece of its own, and the end of a turn is a token without one.
const unevenPieces = 0.1

// pace says where gaps between pieces are not times between tokens, and where answers stood still;
// "" where neither is so.
func (r *Report) pace() string {
	var parts []string
	for i := range r.Results {
		s := &r.Results[i].Pooled
		var texts []string
		if n := s.TokensPerPiece; n > 1+unevenPieces {
			texts = append(texts, fmt.Sprintf("%s tokens each, %s a token, %s between pieces",
				table.Three(n), table.Duration(s.TPOT.Mean), table.Duration(s.ITL.P50)))
		}
		if s.StallRatio > 0 {
			texts = append(texts, fmt.Sprintf("%s of the time in gaps above %d ms, the longest %s",
				table.Percent(s.StallRatio), record.StallBound/time.Millisecond,
				table.Duration(s.ITL.Max)))
		}
		if len(texts) > 0 {
			parts = append(parts, r.Results[i].Name()+" "+strings.Join(texts, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// fewDrafts is the share of an answer's tokens up to which drafts of them are not worth a word.
const fewDrafts = 0.01

// drafts says what servers that compute tokens ahead gained by it, "" where none says that it does,
// or does so for more than a few. Tokens of one step come at one moment: then gaps between pieces
// are not times between tokens.
func (r *Report) drafts() string {
	var parts []string
	for i := range r.Results {
		s := &r.Results[i].Pooled
		if float64(s.DraftedTokens) > fewDrafts*float64(s.OutputTokens) {
			parts = append(parts, fmt.Sprintf("%s %d of %d tokens accepted (%s), %s tokens a step, "+
				"%s a token, %s between pieces", r.Results[i].Name(), s.AcceptedTokens, s.DraftedTokens,
				table.Percent(s.AcceptRatio), table.Three(s.TokensPerStep),
				table.Duration(s.TPOT.Mean), table.Duration(s.ITL.P50)))
		}
	}
	return strings.Join(parts, "; ")
}

// whyPieces says why pieces stand for tokens.
func (r *Report) whyPieces() string {
	voided := 0
	for i := range r.Results {
		notes := r.Results[i].Pooled.Notes
		for _, kind := range record.Voids {
			voided += notes[kind]
		}
	}
	if voided == 0 {
		return "the server's answers have no usage, so each piece of an answer counts as a token"
	}
	return "the usage of " + table.Plural(voided, "answer") +
		" is not to be believed, so each piece of those counts as a token"
}
