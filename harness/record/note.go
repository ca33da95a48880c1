package record

import "strings"

// A Note is something about a response that the client did not understand or did not believe. It is
// a kind, one of those below, and may go on with ": " and the particulars.
type Note string

// The kinds.
const (
	NoteLine    Note = "a line of the stream is none of the standard's and was passed over"
	NoteEvent   Note = "an event of the stream is no part of an answer and was passed over"
	NoteField   Note = "a part of the answer has a field that the client does not know"
	NoteTail    Note = "the stream's last event has no blank line after it"
	NoteLong    Note = "an event is longer than what this client reads"
	NoteAfter   Note = "something came after the end of the stream and was passed over"
	NoteType    Note = "a stream came under another media type than text/event-stream"
	NoteWhole   Note = "a stream was asked for, and the answer came in one piece"
	NoteEncoded Note = "the answer came encoded, though the request accepts none of that"
	NoteModel   Note = "another model answers than was asked for"
	NoteSum     Note = "a usage has a total that is not the sum of its parts"
	NoteUsage   Note = "a usage cannot be read and counts as unknown"
	NoteOverMax Note = "usage claims more tokens than max_tokens allows and counts as unknown"
	NoteUnseen  Note = "usage claims more tokens than came and counts as unknown"
	NoteHidden  Note = "usage counts reasoning that was not sent and counts as unknown"
	NoteRecount Note = "usage claims more tokens than the text has by its tokenizer and counts " +
		"as unknown"
	NoteTooLong Note = "the answer has more tokens than max_tokens allows"
	NoteStopped Note = "a stop string came before any text, so the answer is timed by its end alone"
	NoteDrafts  Note = "the server says of its drafts what cannot be true, and it counts for nothing"
	NoteWait    Note = "a Retry-After is longer than this client waits"
	NoteNoWait  Note = "a Retry-After cannot be read"
)

// Kind is the note without its particulars.
func (n Note) Kind() Note {
	kind, _, _ := strings.Cut(string(n), ": ")
	return Note(kind)
}

// maxNotes are kept of one response.
const maxNotes = 8

// Note adds a note, unless there is one of that kind. about are its particulars; "" there are none.
func (r *Record) Note(kind Note, about string) {
	for _, n := range r.Notes {
		if n.Kind() == kind {
			return
		}
	}
	if about != "" {
		kind += Note(": " + about)
	}
	if len(r.Notes) < maxNotes {
		r.Notes = append(r.Notes, kind)
	}
}
