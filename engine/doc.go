// Package engine answers requests of many agents with one model: continuous batching over a paged KV cache that is
// shared between agents and remembers them.
//
// # Life of a request
//
// Submit checks the request against what never changes (context, vocabulary, size of the pool) and against the latest
// snapshot (utilization, length of the queue), and either refuses it with an error that says what to do or puts it into
// the door. It does not wait for the model, which may be in the middle of a step.
//
// The engine's one goroutine takes what is in the door between two steps and hands it to the scheduler, where it waits
// for its agent's turn. When every block that it can possibly need can be promised, it is admitted: the part of its
// prompt that is in the cache is shared with whoever else has it, and prefill starts behind it. It joins the very next
// step; nobody waits for a batch to end.
//
// A step is one call of Model.Step: one token for each request that decodes, and a chunk of the prompts that prefill, as
// large as leaves the streams beside it half of their pace.
// The token, the model's pick where a request is greedy and else one drawn from its row of logits, goes to the request's
// Stream, whose channel holds the whole answer, so nothing a client does can hold up a step.
//
// When the request ends, or is cancelled, its chain of tokens and blocks becomes its agent's memory: the prompt and the
// answer, except the last token, whose KV was never computed. Blocks it did not use are free before the next step.
//
// # Who owns what
//
//	Engine     the goroutine, the clock, the model, the streams, the sources of randomness
//	door       what Submit and cancellations leave for the goroutine; the only lock
//	sched      which sequences wait, run and end, and what a step computes: a state machine, nothing else
//	pace       what steps have cost, and from that how much of the prompts the next may compute
//	queue      the order of those who wait
//	store      every block and every memory; who may have a block is in its pool, what is in it in its index, what sliding
//	           layers have of it in its locals
//	sampler    one request's draws
//	warm       what moves between the pool and the disk; its goroutines do the disk's work and know no block
//	writer     images of memories on their way to the disk
//	shelf      the files: names, quota, age, quarantine
//	Model      the KV itself and the arithmetic; it knows blocks by number only
//
// # The pool
//
// A block is used while a running request has it, cached while only idle memories have it, and free otherwise. Cached
// blocks count as room: they are evicted the moment somebody needs them. Utilization counts used blocks and those
// promised to running requests, a shared block once; with sliding layers it is that of their part of the pool where that
// is fuller. Above 90 % Submit refuses; what was admitted finishes; utilization comes back without anybody's help.
//
// Nobody is ever preempted, because the plan cannot over-commit: a request is admitted when all that its prompt and
// MaxTokens can take is promised to it, in every layer, and promises never exceed what is free or cached. Engines that
// admit by what a request has now must stop some when all grow at once, and compute their KV again or swap it out. The
// price here is that a request which ends early has kept room from others; they wait for it in the queue, where they
// have cost nothing yet. So an admitted request fails only if the model does.
//
// # Sliding layers
//
// A layer with a sliding window needs a token only for as long as the window sees it. What such layers have of a block is
// its local. The budget is divided between blocks and locals once (see layout). A running request has the locals in its
// window and those of the step, whatever its length, and an idle memory those at its end. So 4096 tokens of Gemma 3 270M
// take 3.7 times less than if all layers kept all, in the pool and on disk.
//
// The price is that a prompt cannot go on from any point of what is in the cache, but only from one where the locals in
// the window before it are still there. They are at the end of every memory, so a conversation that goes on finds all of
// it; they are where two prompts were seen to part that began alike, as after a system prompt, for as long as there is
// room; and they are wherever nobody has needed the room yet. A file has, if they were still there when it was written,
// those with which the last question can be asked again or changed. Elsewhere, as in a conversation that is edited further
// back, a prompt is computed from the last such point.
//
// Either part can be what runs out: short conversations take as many locals as blocks, long ones a window's. The budget is
// not one that both draw from, because the model's two arenas are allocated once: arenas that could each grow to the
// whole budget would touch twice its memory over time.
//
// # Memories on disk
//
// With Config.Dir an agent's memory has three tiers: hot, in the pool; warm, a file; cold, recomputed from the prompt. A
// memory is saved when it has rested a moment, when it is evicted, and when the engine ends; the copy is made between
// steps, the writing on a goroutine. A request whose agent has less in the pool than it left is admitted like any other
// and then given what it has on disk, as far as its prompt goes, before it computes the rest. The file is verified while
// it is read; one that is of no use is set aside and costs no more than the memory.
package engine
