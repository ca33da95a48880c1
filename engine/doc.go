// Package engine answers requests of many agents with one model: continuous batching over a paged
// KV cache that is shared between agents and remembers them.
//
// # Life of a request
//
// Submit checks the request against what never changes (context, vocabulary, size of the pool)
// and against the latest Stats (utilization, length of the queue). It either refuses the request,
// with an error that says what to do, or puts it into the mailbox. It does not wait for the
// model, which may be in the middle of a step.
//
// The engine's one goroutine empties the mailbox between two steps and gives the requests to the
// scheduler, where each waits until it is its agent's turn. When every block that it can possibly
// need can be promised, it is admitted: it shares the part of its prompt that is in the cache,
// and prefill starts behind that. It joins the very next step; no request waits for a batch to
// end. What the step computes for another request that begins alike it waits for, and shares then.
//
// A step is one call of Model.Step: one token for each request that decodes, and a chunk of the
// prompts that prefill. In most steps the chunk is so large that the streams beside it keep half of
// their pace; in one step of 25 it is all that the others have left of the prompts' share of the
// time (see pace). The token is the model's pick if the request is greedy, and else one drawn from
// its row of logits. It goes to the request's Stream, whose channel holds the whole answer, so
// nothing that a client does can hold up a step.
//
// Where the last tokens of a decoding request also occur earlier, in its prompt or its answer, the
// step also computes the tokens that followed them there, as a draft. Each token is drawn from its
// row as always. As long as it equals the draft's token, the row after it is valid too and gives
// the next token in the same step. So an answer that repeats its context takes fewer steps, and is
// bitwise the same (see drafter and Config.NoDrafts). Where the request's mask allows one token
// only, that token is taken without a step of its own (see Request.Ahead).
//
// When the request ends, or is cancelled, its tokens and blocks become its agent's memory: prompt
// and answer, except the last token, whose KV was never computed. Blocks it did not use are free
// before the next step.
//
// # Who owns what
//
//	Engine     the goroutine, the clock, the model, the streams, the sources of randomness
//	mailbox    what Submit and cancellations leave for the goroutine, under a lock
//	sched      which sequences wait, run and end, and what a step computes: a state machine
//	pace       what steps have cost, and so how many tokens of prompts the next step may compute
//	queue      the order of the sequences that wait
//	disk       what moves between the pool and the disk; its goroutines know no block
//	backlog    which turns are not on disk yet, and when they must be
//	Model      the KV itself and the arithmetic; it knows blocks by number only
//
//	internal/kv        every block, window slot and idle memory in the pool
//	internal/snapshot  the memories' files: format, index, writer, quota, age, quarantine
//	internal/sample    one request's draws
//
// # The pool
//
// A block is used while a running request has it, cached while only idle memories have it, and
// free otherwise. Cached blocks count as room: they are evicted the moment they are needed.
// Utilization counts used blocks and those promised to running requests, a shared block once;
// with sliding layers it is the utilization of the window slots where that is higher. Above
// AdmitBelow, Submit refuses; admitted requests finish, and utilization falls by itself.
//
// No request is ever preempted, because the plan cannot over-commit: a request is admitted when
// everything that its prompt and MaxTokens can take, in every layer, is promised to it, and
// promises never exceed what is free or cached. Engines that admit by what a request has now must
// stop some requests when all grow at once, and compute their KV again or swap it out. The price
// here is that a request which ends early has kept room from others; they wait for it in the
// queue, where they have cost nothing yet. So an admitted request fails only if the model does.
//
// # Sliding layers
//
// A layer with a sliding window needs a token only for as long as the window sees it. A window
// slot holds what all such layers keep of one block's tokens. The budget is divided between
// blocks and window slots once (see internal/kv.NewLayout). A running request has the slots of
// the blocks in its window and in the step, whatever its length, and an idle memory those at its
// end. So 4096 tokens of Gemma 3 270M take 3.7 times less than if all layers kept all tokens, in
// the pool and on disk.
//
// The price is that a prompt cannot continue from any point of what is in the cache, but only
// from one where the slots in the window before it still exist. They exist at the end of every
// memory, so a conversation that goes on finds all of it; where two prompts with the same
// beginning were seen to part, as after a system prompt, for as long as there is room; and
// wherever the room has not been needed yet. A file has, if they still existed when it was
// written, those with which the last question can be asked again or changed. Elsewhere, as in a
// conversation that is edited further back, a prompt is computed from the last such point.
//
// Blocks or window slots can run out first: short conversations take as many slots as blocks, long
// ones a window's. They do not share one budget, because the model's two arenas are allocated once:
// arenas that could each grow to the whole budget would in time touch twice its memory.
//
// # Memories on disk
//
// With Config.Dir an agent's memory has three tiers: hot, in the pool; disk, in a file; cold,
// computed again from the prompt. A memory is saved when it has rested a moment, when it is
// evicted, and when the engine ends; the copy is made between steps, and a goroutine writes it. A
// request whose agent has less in the pool than it left there is admitted like any other and then
// given what it has on disk, as far as its prompt goes, before it computes the rest. The file is
// verified while it is read, by a restore or an export; one that cannot be used is set aside and
// costs no more than the memory.
//
// What a kill can take is bounded. With Config.SaveWithin no turn that has ended is older than that
// and not on disk, as long as the disk keeps up, though its agent asks without a pause: then its
// last turn is copied while the next one runs. A step is not interrupted for it, so the bound
// should be several times longer than a step. A request can have its turn saved at once and wait
// for it (Request.Durable), and so can all requests of an agent (Principal.SetDurable). "On disk"
// means that the file and its directory are synced. Stats says how old the oldest turn is that is
// not.
//
// A save that fails is tried again, later and later up to ten seconds, with the newest memory of
// its agent. On a full disk quarantined files and then the memories that were unused for longest
// are deleted to make room, in the order in which the quota would delete them; pinned ones are
// kept. When the engine ends, it saves those of them that are still in the pool once more, if there
// is room again without deleting another memory. A file that the disk fails to read when the engine
// starts is read again later.
//
// # Several engines on one directory
//
// With Config.Shared several engines of one model, in processes of their own or on machines that
// mount the same folder, keep their memories in one directory. An agent's memory is then wherever
// its last request was answered, and moves through the directory: an engine holds the agent's lease
// from the request until its turn is on disk, and the next one waits for that, a third of
// Config.Lease at most, before it reads the file. So no two of them write one memory, and the next
// one has all of it. Once an agent has gone on at another engine, an engine drops the memory that
// its own pool has of it at the agent's next request.
//
// An engine releases its leases as it saves before it ends, and a process that has ended holds no
// leases. An engine that hangs loses its leases after Config.Lease. When it runs again it finds the
// leases of others, does not write its memories, and reports that in the log, in
// Stats.SaveFailuresBy.Superseded and in Stream.Saved. A turn that could not get the lease in time
// is answered from the memory on disk, and not saved; the agent's next turn is. Every lease has a
// generation, which an engine compares before it writes, under a lock of the file system. So clocks
// and pauses affect only which engine is waited for, and how long. On NFS this needs locks that
// hold between machines (version 4, or 3 with lockd; not nolock or local_lock). One case remains: a
// machine that is cut off from the file server, between the comparison and the rename, for so long
// that the server drops its locks may replace a newer memory by an older one. Answers stay right,
// since a memory is only used as far as it is the prompt's beginning.
//
// # An object store
//
// With Config.Bucket the same engines keep their memories in a bucket of an object store, and need
// no folder that all of them mount. KV that several memories of one principal share, such as that
// of a system prompt, is stored once, and each engine puts and fetches it once (package
// loadstone/internal/objects). All of the above holds, with these differences:
//
//   - Conditional puts keep two engines from writing one memory: an agent's whole state changes
//     with one object, which is replaced only if it is still the version that was read. There are
//     no locks, and a write that arrives late does no harm.
//   - An engine cannot see that another process has ended, so it waits for a killed one as for one
//     that hangs: for Config.Lease. Until then the killed engine's agents are answered elsewhere
//     from what was saved; each turn starts a third of Config.Lease late, and is not saved.
//   - A turn waits for two requests to the store: one asks whether the agent is durable, and one
//     takes its lease. All other requests run beside the turn.
//   - While the store cannot be reached, agents whose memories are in an engine's pool continue
//     there, and Stats.Disk says failing, as with a disk that fails. The first turn, and then one
//     every few seconds, waits up to a third of Config.Lease before it is answered. Such turns are
//     saved once the store is back, unless another engine has answered the agent since. KV that is
//     not in the pool is computed again.
//   - Config.DiskBytes, and the sizes in Stats and Usage, count each memory as if it were a file of
//     its own. Shared KV counts for each memory, so the bucket itself holds less.
//   - SealKeys seal the objects so that one principal's shared KV is still stored once. An object
//     that was put before there were keys is not read with them; the agent's next turn replaces it.
//   - An object that no memory refers to any more is removed some minutes later, by any engine.
//
// Config.DiskBytes and TTL apply to the directory as a whole: once a minute each engine looks at
// what the others have written. Shares of principals (see Share) apply to one engine, except for
// their bytes on disk, which count the whole directory as far as the engine knows it.
//
// # Glossary
//
//	principal    an owner whose requests and memories are kept apart from all others'; see Principal
//	agent        names a long-lived memory of a principal
//	block        KV of Config.BlockTokens tokens in all global layers
//	window slot  KV of the same tokens in all sliding layers, while a window sees them
//	promised     set aside for a running request that has not taken it yet
//	pinned       in use by a running request; of a memory on disk: safe from quota and age
//	borrowed     of a window slot: in use by a running request until its window has moved past it
//	held         kept by an idle memory
//	chain        a memory in the pool: tokens, and the blocks that hold their KV
//	memory       what is kept of an agent's conversation, wherever it is
//	snapshot     a memory outside the pool: in RAM on its way to the disk, or in a file
//	chunk        of a prompt: the part that one step computes; of a snapshot: one block as stored
//	tier         where a memory is: hot (pool), disk, or cold (nowhere)
//	restore      a snapshot's way back into the pool
//	sequence     a request in the scheduler
//	job          a request with its stream and its times
//	backlog      the turns of an agent that are not on disk
//	lease        the right to write an agent's memory, where several engines share the directory
//	retired      of a chain: its agent has a newer one, and this is kept only until it is saved
//	turn         one question of an agent and its answer
//	row          one position's logits
//	draft        tokens that may come next, computed along with the one that does
//	ahead        computed or taken before its turn: a token of a draft, or one that must follow
//	pick         the likeliest token of a row, found by the model
package engine
