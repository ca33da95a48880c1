package record

import "fmt"

// unseenTokens are how many tokens of an answer may have no text: the end of a turn, marks around
// reasoning and tool calls.
const unseenTokens = 8

// Bound voids an output count that cannot be true: one above max_tokens, or above the bytes that
// came, since a token that is text has a byte at least. Then OutputTokens is -1, unknown, as where
// there is no usage, so that the pieces stand for the tokens; Claimed is what the server says, and a
// note says why it is not believed. bytes are those of everything that the model said, hidden the
// tokens of the count that the usage itself gives to reasoning.
//
// A count of no more than the pieces, and the end of a turn, is what the client saw itself. Above
// max_tokens it means that the server does not hold the bound. Reasoning that is counted and not
// sent is unseen as well: a server would be faster by as many tokens as it says it has thought.
func (r *Record) Bound(bytes, hidden int) {
	n := r.OutputTokens
	overMax := r.MaxTokens > 0 && n > r.MaxTokens
	switch {
	case n <= len(r.Chunks)+1:
		if overMax {
			r.Note(NoteTooLong, fmt.Sprintf("%d of %d", n, r.MaxTokens))
		}
		return
	case overMax:
		r.Note(NoteOverMax, fmt.Sprintf("%d of %d", n, r.MaxTokens))
	case n > bytes+unseenTokens:
		r.Note(NoteUnseen, fmt.Sprintf("%d tokens, %d bytes", n, bytes))
	case hidden > 0 && r.Thought == "":
		r.Note(NoteUnseen, fmt.Sprintf("%d of %d tokens are reasoning that was not sent", hidden, n))
	default:
		return
	}
	r.Claimed, r.OutputTokens = n, -1
}
