// Package objects is a file system for agents' memories in an object store, such as one with S3's
// API. Several servers use it at the same time. What files have in common is stored and moved once,
// and no server overwrites what another one has written since.
//
//	snapshot.Store --files.System--> System --Bucket--> S3, NATS JetStream or, in tests, a map
//
// # Objects
//
//	records/NAME     a record: all files NAME.*, that is their sizes, times, how they begin and
//	                 the names of their chunks; JSON, sealed as a file is (package seal) if there
//	                 is a key
//	chunks/ID.EPOCH  a chunk: a part of files' content. ID is a hash of the content
//	locks/PATH       a lock, which its holder renews
//	collections      which collections have condemned chunks; see System.Collect
//	condemned/X      the chunks that one of them has condemned
//
// A file is written in parts. What comes before the first cut (see Cut, which the writer calls
// where a block of KV begins) goes into the record, so that a start reads records only. The rest
// goes into chunks, one from each cut to the next. A chunk that the bucket has is not put again,
// and one that was read or written lately is in RAM and is not fetched again. So the KV of a system
// prompt that a hundred agents share is stored once, put once, and fetched once by each server. Its
// chunks have the same content for all of them, because the KV of a prefix has the same bits
// whatever else was computed in the same steps, and chunks begin at the same tokens.
//
// # Who writes
//
// A record is changed by a put whose condition is that the record is still the one that was read.
// All files of an agent are in one record, and so is its lease. A server that has lost its lease
// therefore cannot write the memory, even if it hangs for hours between two operations or its put
// arrives late: the condition no longer holds (System.Begin). That needs neither a lock nor a
// clock. If the answer to a put is lost, the server reads the record again and knows its own change
// by the entry's id.
//
// Locks only say who is there. A lock is an object that its holder puts again and again. One that
// does not change for a term, by the clock of the server that looks, has no holder any more. So a
// server that was killed is waited for like one that hangs. On a file system it is not, because
// there a lock ends with its process.
//
// # What the store's operator and others see
//
// With keys, the contents of records and chunks are sealed. The ids of chunks are MACs, so nobody
// without the key can find out whether a chunk has a content that he guesses. The operator sees how
// many agents there are; the names of records, which are hashes without a key of principals' ids
// and agents' names, so that a guessed name can be confirmed; when and how often each is used; how
// many bytes are put; and, from which chunks are put or fetched after each other, how much agents
// of one principal have in common. A record or a chunk that he changes is refused. If he puts an
// older record in the place of a newer one, nobody notices, as on a disk.
//
// Without keys he sees everything.
//
// Files share chunks only within their group, which is the principal: what one principal has stored
// changes neither what another one stores nor how long that takes.
//
// # Failures
//
// Each operation may take a third of a term, and is tried three times within it. After one that was
// not answered, none is tried for a while, so that few callers wait for a store that is away; the
// error is then ErrAway. A server keeps what it could not write in RAM and writes it later, as with
// a full disk.
//
// Sizes are those of the files: content that files share is counted for each of them. So a quota is
// an upper bound of what the bucket holds.
package objects
