package liars

// Bounds that several liars have.
var (
	ttft       = Bound{TTFT50, 0.15, 0.020}
	tpot       = Bound{TPOT50, 0.25, 0.002}
	e2e        = Bound{E2E50, 0.10, 0.020}
	tokens     = Bound{AnswerMean, 0.05, 0.5}
	unanswered = Bound{ErrorRatio, 0, 0.08}
	hits       = Bound{HitRatio, 0, 0.05}
	stall      = Bound{ITL99, 0.25, 0.020}
	worst      = Bound{ITLMax, 0.25, 0.020}
)

// All returns the liars, by what they lie about.
func All() []*Liar {
	var all []*Liar
	for _, group := range [][]*Liar{
		early, paced, counts, endings, refusals, caches, texts, selves} {
		all = append(all, group...)
	}
	return all
}

// early are lies about the first token.
var early = []*Liar{
	{Name: "empty-first-chunk", Lie: "sends a chunk with an empty text at once",
		Truth: "the time to the first text", Load: usual, Bounds: []Bound{ttft},
		wire: func(r *reply) { r.ahead(0, r.chunk(content(""), "")) }},
	{Name: "role-first-chunk", Lie: "sends a chunk with the role alone at once",
		Truth: "the time to the first text", Load: usual, Bounds: []Bound{ttft},
		wire: func(r *reply) { r.ahead(0, r.chunk(`{"role":"assistant"}`, "")) }},
	{Name: "early-head", Lie: "sends status and headers at once, and then lets the client wait",
		Truth: "the time to the first text", Load: usual, Bounds: []Bound{ttft},
		wire: func(r *reply) { r.ahead(0, "") }},
	{Name: "comments-first",
		Lie:   "sends comments, which keep a connection open, until the first token",
		Truth: "the time to the first text", Load: usual, Bounds: []Bound{ttft, tokens},
		wire: commentsFirst},
	{Name: "split-event", Lie: "sends the first half of the first event at once",
		Truth: "the time to the end of the event", Load: usual, Bounds: []Bound{ttft},
		wire: splitEvent},
	{Name: "blank-first", Lie: "sends a blank that is no token at once, as the first text",
		Truth: "the time to the first text that can be seen", Load: usual,
		Bounds: []Bound{ttft, tokens},
		wire:   func(r *reply) { r.ahead(0, r.chunk(content(" "), "")) }},
	{Name: "thought-first", Lie: "sends a dot of reasoning at once, before an answer without any",
		Truth: "the time to the first token of the answer, apart from that of reasoning",
		Load:  usual, Bounds: []Bound{{Content50, 0.15, 0.020}},
		wire: func(r *reply) { r.ahead(0, r.chunk(`{"reasoning_content":"."}`, "")) }},
	{Name: "one-piece", Lie: "streams nothing: sends the answer in one chunk at its end",
		Truth: "a first token at the end, and all tokens", Load: usual,
		Bounds: []Bound{ttft, tokens}, wire: onePiece},
	{Name: "no-stream", Lie: "answers with JSON in one piece where a stream was asked for",
		Truth: "the time to the end, and all tokens, or errors", Load: usual, Refusable: true,
		Bounds: []Bound{ttft, e2e, tokens},
		wire:   func(r *reply) { r.body = r.whole() }},
	{Name: "slow-accept",
		Lie: "lets a connection wait for 150 ms before it reads from it, and closes it " +
			"after each answer",
		Truth: "the time from when the request was sent", Load: usual, Bounds: []Bound{ttft, e2e},
		accepts: true},
	{Name: "rare-stall", Lie: "lets 3 of 100 requests wait for two seconds more",
		Truth: "a p99 of more than two seconds", Load: long,
		Bounds: []Bound{{TTFT99, 0.15, 0.050}}, says: rareStall},
	{Name: "pauses", Lie: "stands still for one second in four, as a collection of garbage does",
		Truth: "what requests wait that come at any moment, at a rate", Load: open,
		Bounds: []Bound{{TTFT95, 0.20, 0.050}, {TTFT99, 0.20, 0.050}}, pauses: true},
	{Name: "drift", Lie: "becomes slower, by its first speed in each 20 s",
		Truth: "that latency grows for as long as the load lasts", Load: long, Alarm: true,
		drifts: true, says: drift},
}

// paced are lies about the pace of tokens.
var paced = []*Liar{
	{Name: "merged-tokens", Lie: "sends four tokens in a chunk",
		Truth: "the time per token, and all tokens", Load: usual, Bounds: []Bound{tpot, tokens},
		wire: mergeTokens},
	{Name: "split-tokens", Lie: "sends each token in two chunks",
		Truth: "the time per token, and no more tokens than there are", Load: usual,
		Bounds: []Bound{tpot, tokens}, wire: splitTokens},
	{Name: "late-burst", Lie: "sends the first token in time and all others together at the end",
		Truth: "the longest gap, and the time per token", Load: usual,
		Bounds: []Bound{worst, tpot, e2e}, wire: lateBurst},
	{Name: "mid-stall", Lie: "stands still for 600 ms in the middle of each answer",
		Truth: "a p99 of the gaps of 600 ms, and the time per token", Load: usual,
		Bounds: []Bound{stall, worst, tpot, e2e}, wire: midStall},
	{Name: "dead-air", Lie: "waits for 400 ms between the last token and the end of the stream",
		Truth: "the time per token without that wait", Load: usual, Bounds: []Bound{tpot},
		wire: deadAir},
	{Name: "double-chunks", Lie: "sends each chunk twice",
		Truth: "as many tokens as there are, or that pieces came twice", Load: usual,
		Bounds: []Bound{tokens}, wire: doubleChunks},
	{Name: "empty-chunks", Lie: "sends a chunk with an empty text after each token",
		Truth: "as many tokens as there are, and the time per token", Load: usual,
		Bounds: []Bound{tpot, tokens}, wire: emptyChunks},
	{Name: "second-choice", Lie: "streams a second answer between the pieces of the first",
		Truth: "the tokens of one answer, or that there are two", Load: usual,
		Bounds: []Bound{tokens}, wire: secondChoice},
}

// counts are lies about the number of tokens.
var counts = []*Liar{
	{Name: "usage-double", Lie: "ends at half the length, and its usage claims all of it",
		Truth: "the tokens that the text has, by a tokenizer or by its pieces", Load: usual,
		Bounds: []Bound{tokens}, says: func(r *reply) { r.cut(2, "stop"); r.usage.Completion *= 2 }},
	{Name: "usage-quarter", Lie: "its usage claims a quarter of the tokens that came",
		Truth: "the tokens that came, or that the count is wrong", Load: usual,
		Bounds: []Bound{tokens}, says: func(r *reply) { r.usage.Completion /= 4 }},
	{Name: "usage-missing", Lie: "sends no usage",
		Truth: "the tokens that came", Load: usual, Bounds: []Bound{tokens}, wire: noUsage},
	{Name: "usage-sum", Lie: "its usage has a total that is not the sum of its parts",
		Truth: "the tokens that came", Load: usual, Bounds: []Bound{tokens},
		says: func(r *reply) { r.usage.Total *= 3 }},
	{Name: "usage-running", Lie: "sends the usage so far with each chunk",
		Truth: "the last usage, not the sum", Load: usual, Bounds: []Bound{tokens},
		wire: runningUsage},
	{Name: "usage-hidden",
		Lie:   "sends a quarter of the tokens, and calls the others hidden reasoning",
		Truth: "the tokens that came, or hidden ones apart", Load: usual,
		Bounds: []Bound{tokens}, says: hideTokens},
	{Name: "too-long", Lie: "answers with half as many tokens again as max_tokens allows",
		Truth: "the tokens that came", Load: usual, Bounds: []Bound{tokens}, says: tooLong},
	{Name: "too-short", Lie: "ends at half of max_tokens, with finish_reason length",
		Truth: "the tokens that came", Load: usual, Bounds: []Bound{tokens},
		says: func(r *reply) { r.cut(2, "length") }},
	{Name: "short-under-load",
		Lie:   "ends answers at a quarter, with finish_reason stop, while it has others",
		Truth: "that answers under load are not those given alone", Load: usual, Alarm: true,
		says: func(r *reply) {
			if !r.alone {
				r.cut(4, "stop")
			}
		}},
}

// endings are answers, one in four, that end as none should.
var endings = []*Liar{
	{Name: "error-in-stream",
		Lie:   "sends an error in one stream of four, after status 200 and two tokens",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered}, wire: errorInStream},
	{Name: "error-finish", Lie: "ends one answer of four early, with finish_reason error",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered}, says: errorFinish},
	{Name: "error-body", Lie: "sends status 200 and an error in JSON to one request of four",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered},
		wire: func(r *reply) {
			r.fail(`{"error":{"message":"out of memory","type":"server_error","code":500}}`, "")
		}},
	{Name: "page-body", Lie: "sends status 200 and a page to log in to one request of four",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered},
		wire: func(r *reply) {
			r.fail("<!doctype html><title>Log in</title><p>Please log in.", "text/html")
		}},
	{Name: "empty-answer",
		Lie:   "sends no token to one request of four, with a usage of all of them",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered}, wire: emptyAnswer},
	{Name: "cut-stream",
		Lie:   "ends one stream of four in the middle, without finish_reason and [DONE]",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered},
		wire: func(r *reply) { r.cutStream() }},
	{Name: "cut-length", Lie: "the same, with a Content-Length that is that of what came",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered}, wire: cutLength},
	{Name: "cut-connection", Lie: "closes the connection of one stream of four in the middle",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered},
		wire: func(r *reply) { r.hangsUp = r.cutStream() }},
	{Name: "no-end",
		Lie:   "ends one stream of four after its finish_reason, without usage and [DONE]",
		Truth: "a quarter of errors: nothing tells that nothing was lost", Load: usual,
		Bounds: []Bound{unanswered}, wire: noEnd},
	{Name: "no-answer", Lie: "closes the connection of one request of four without a byte",
		Truth: "a quarter of errors, or how many requests were sent again", Load: usual,
		Bounds: []Bound{unanswered}, wire: noAnswer},
}

// refusals are requests, one in four, that are refused.
var refusals = []*Liar{
	{Name: "bare-429", Lie: "refuses one request of four with 429 and no Retry-After",
		Truth: "a quarter of refusals", Load: usual, Bounds: []Bound{unanswered},
		wire: func(r *reply) {
			r.refuse(429, `{"error":{"message":"too many requests"}}`)
		}},
	{Name: "served-429", Lie: "sends one answer of four in full, with status 429",
		Truth: "a quarter of refusals: no client of the API reads such an answer", Load: usual,
		Bounds: []Bound{unanswered}, wire: func(r *reply) {
			if r.every(4) {
				r.status, r.outcome = 429, Refused
			}
		}},
	{Name: "ready-503", Lie: "is always ready by its health, and sends 503 to one request of four",
		Truth: "a quarter of errors", Load: usual, Bounds: []Bound{unanswered},
		wire: func(r *reply) { r.refuse(503, `{"error":{"message":"no worker"}}`) }},
}

// caches are lies about what is cached.
var caches = []*Liar{
	{Name: "false-cached", Lie: "claims that nine tenths of each prompt were cached",
		Truth: "that new prompts cannot have been cached", Load: usual, Bounds: []Bound{hits},
		says: func(r *reply) { r.usage.Details.Cached = r.q.prompt() * 9 / 10 }},
	{Name: "more-cached", Lie: "claims more cached tokens than the prompt has",
		Truth: "that this cannot be", Load: usual, Bounds: []Bound{hits},
		says: func(r *reply) { r.usage.Details.Cached = r.q.prompt() * 2 }},
	{Name: "warm-again",
		Lie:   "answers a prompt that was asked before within 5 ms, and calls it not cached",
		Truth: "the same time to first token when a measurement is made again", Load: twice,
		Bounds: []Bound{ttft}, remembers: true, says: warmAgain},
	{Name: "restored-not",
		Lie:   "claims after a restart that it has kept its cache, and computes all anew",
		Truth: "that what is called cached is as slow as what is not", Load: again, Alarm: true,
		says: restoredNot},
	{Name: "shared-prefix", Lie: "lets one key find in the cache what another has asked",
		Truth: "that keys are not kept apart", Load: byKeys, Alarm: true, shares: true},
	{Name: "shared-time", Lie: "the same, and calls it not cached: the time alone tells",
		Truth: "that keys are not kept apart", Load: byKeys, Alarm: true, shares: true,
		says: func(r *reply) { r.usage.Details.Cached = 0 }},
}

// texts are wrong answers.
var texts = []*Liar{
	{Name: "stored-answer", Lie: "sends everybody the same stored answer",
		Truth: "that all answers are the same text", Load: usual, Alarm: true,
		says: func(r *reply) { r.words = r.s.answer(1, len(r.words)) }},
	{Name: "others-answer", Lie: "sends, under load, the answer to somebody else's question",
		Truth: "that the answer is another one alone", Load: usual, Alarm: true,
		says: func(r *reply) {
			if r.other != nil && !r.alone {
				r.words = r.s.answer(r.other.hash(), len(r.words))
			}
		}},
	{Name: "leak", Lie: "has the first word of another conversation in one answer of four",
		Truth: "that an answer has another agent's secret in it", Load: usual, Alarm: true,
		says: func(r *reply) {
			if r.other != nil && r.every(4) {
				r.put(1, r.other.secret())
			}
		}},
	{Name: "other-model", Lie: "answers with a smaller model, and names it",
		Truth: "that another model answers than was asked for", Load: usual, Alarm: true,
		says: func(r *reply) { r.model = "tiny-0.1b"; r.words = r.s.answer(r.q.hash()+1, len(r.words)) }},
	{Name: "random", Lie: "draws at temperature 0 another answer each time",
		Truth: "that the same question gets another answer", Load: usual, Alarm: true,
		says: func(r *reply) {
			if r.q.Temperature == 0 {
				r.put(2, vocabulary[r.n%len(vocabulary)])
			}
		}},
	{Name: "mixed-memory", Lie: "goes on after a restart from another conversation's memory",
		Truth: "that conversations go on otherwise after a restart", Load: again, Alarm: true,
		says: mixedMemory},
}

// selves are lies of a server about itself.
var selves = []*Liar{
	{Name: "own-clock", Lie: "says in its headers that it took 2 ms for an answer",
		Truth: "that the server's own times are not what was seen", Load: usual, Alarm: true,
		says: func(r *reply) {
			r.header.Set("Server-Timing", "queue;dur=0, prefill;dur=1, decode;dur=1")
			r.header.Set("X-Request-Latency-Ms", "1")
			r.header.Set("Trailer:X-Total-Latency-Ms", "2")
		}},
	{Name: "own-counts", Lie: "counts half of its tokens in /metrics",
		Truth: "that the server's counts are not those of its answers", Load: usual, Alarm: true,
		undercuts: true},
	{Name: "runs-on", Lie: "goes on with requests whose client has gone away",
		Truth: "that what cancelled requests held is not given back", Load: usual, Alarm: true,
		leaks: true},
}
