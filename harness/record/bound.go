package record

import (
	"fmt"
	"slices"
)

// unseenTokens are how many tokens of an answer may have no text: the end of a turn, marks around
// reasoning and tool calls.
const unseenTokens = 8

// Bound voids an output count that cannot be true: one above max_tokens, or above the bytes that
// came, since a token that is text has a byte at least. Then OutputTokens is -1, unknown, as where
// there is no usage, so that the pieces stand for the tokens; Claimed is what the server says, and
// a note says why it is not believed. bytes are those of everything that the model said, hidden the
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
		r.void(NoteOverMax, fmt.Sprintf("%d of %d", n, r.MaxTokens))
	case n > bytes+unseenTokens:
		r.void(NoteUnseen, fmt.Sprintf("%d tokens, %d bytes", n, bytes))
	case hidden > 0 && r.Thought == "":
		r.void(NoteHidden, fmt.Sprintf("%d of %d tokens", hidden, n))
	}
}

// Drafted takes what the server says of its drafts. It is not believed where more tokens were right
// than were drafted, or all of the answer: each step draws one token that no draft has.
func (r *Record) Drafted(drafted, accepted int) {
	if drafted <= 0 && accepted <= 0 {
		return
	}
	if accepted < 0 || accepted > drafted ||
		r.OutputTokens >= 0 && accepted >= max(r.OutputTokens, 1) {
		r.Note(NoteDrafts, fmt.Sprintf("%d of %d, in an answer of %d", accepted, drafted, r.OutputTokens))
		return
	}
	r.DraftedTokens, r.AcceptedTokens = drafted, accepted
}

// void makes the output count unknown, for a reason.
func (r *Record) void(why Note, about string) {
	r.Note(why, about)
	r.Claimed, r.OutputTokens = r.OutputTokens, -1
}

// Voids are the kinds of notes that say why a usage is not believed.
var Voids = []Note{NoteUsage, NoteOverMax, NoteUnseen, NoteHidden, NoteRecount}

// FalseClaim is the note that says why the output count is not what came, "" where it may be: a
// server may count reasoning that it does not send.
func (r *Record) FalseClaim() Note {
	for _, n := range r.Notes {
		if kind := n.Kind(); r.Claimed > 0 && slices.Contains(Voids, kind) && kind != NoteUsage &&
			kind != NoteHidden {
			return n
		}
	}
	return ""
}
