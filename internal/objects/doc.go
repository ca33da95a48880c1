// Package objects is a file system for agents' memories in an object store, such as one with S3's API:
// several servers use it at the same time, what files have in common is stored and moved once, and no
// server overwrites what another one has written since.
//
//	snapshot.Store --files.System--> System --Bucket--> S3, NATS JetStream or, in tests, a map
//
// # Objects
//
//	records/NAME     a record: all files NAME.*, that is their sizes, times, how they begin and the
//	                 names of their chunks; JSON, sealed as a file is (package seal) if there is a key
//	chunks/ID.EPOCH  a chunk: a part of files' content. ID is a hash of the content
//	locks/PATH       a lock, which its holder renews
//	gc, gc/X         what collections have condemned; see System.Collect
//
// A file is written in parts: what comes before the first cut (see Cut, which the writer calls where a
// block of KV begins) goes into the record, so that a start reads records only; the rest goes into
// chunks, from cut to cut. A chunk that is there already is not put again, and one that was read or
// written lately is not fetched again: its content is in RAM. So what a hundred agents have in common,
// such as the KV of a system prompt, is stored once, put once, and fetched once by each server. It is
// the same content as the KV of a prefix has the same bits whatever it is computed beside, and chunks
// begin at the same tokens.
//
// # Who writes
//
// A record changes by a put on the condition that it is as it was read. All files of an agent are in
// one record, its lease too. So a server that has lost its lease, though it may hang for hours between
// any two operations, or its put may arrive late, cannot write the memory: the condition does not hold
// then (System.Begin). No lock and no clock is needed for that. A change that was made and whose answer
// was lost is known by the entry's id when the record is read again.
//
// Locks say who is there at all. They are objects that are put again and again; one that does not
// change for a term, by the clock of whoever looks, has no holder any more. A server that is killed is
// therefore waited for as one that hangs is, other than on a file system, whose locks end with their
// process.
//
// # What the store's operator and others see
//
// With keys, the contents of records and chunks are sealed, and so are the ids of chunks, which are MACs:
// who has no key cannot find out whether a chunk has a content that he guesses. He sees how many agents
// there are, names of records, which are hashes of principals' ids and agents' names without a key (a
// name that can be guessed can be confirmed), when and how often each is used, how many bytes are put,
// and, from which chunks are put or fetched after each other, how much agents of one principal have in
// common. A record or a chunk that he changes is not read; that he puts an older record in the place of
// a newer one is not noticed, as on a disk.
//
// Without keys he sees everything.
//
// Files have chunks in common within their group only, which is the principal: what one principal has
// stored changes neither what another one stores nor how long that takes.
//
// # Failures
//
// Every operation has a limit of time, a third of a term, and is tried three times within it. After one
// that was not answered none is tried for a while, so that a store that is away holds up few callers.
// The error is ErrAway then. What a server has not written stays in its RAM, and is written later, as
// with a disk that is full.
//
// Sizes are those of the files: what they have in common is counted for each of them. A quota bounds
// the bucket from above, therefore.
package objects
