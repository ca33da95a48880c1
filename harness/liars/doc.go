// Package liars has servers that lie in one way each, and judges what load tools report of them.
//
// All of them are one truthful server of OpenAI's chat API with one lie. The truthful server
// computes nothing: its first token comes 100 ms and 1 ms for each prompt token that is not cached
// after the request, each other token 10 ms after the one before, whatever its load is; a scale
// multiplies all times. A token is a word. It keeps a cache of prefixes for each API key and tells
// its true counts. Beside the API it serves the truth about every request it had:
//
//	loadstone liars -serve merged-tokens -addr 127.0.0.1:8099 &
//	YOUR-TOOL http://127.0.0.1:8099/v1
//	curl http://127.0.0.1:8099/liar/truth
//
// [Liar.Judge] holds what a tool reports to that truth. The verdict is the truth, fooled, or mute:
// a tool is only judged by the figures that it claims to measure, and by what it says in words. Any
// alarm about the truthful server is false. Package score puts this repository's own tool before
// the liars, and benchdata/peers/liars those that others wrote.
//
// # How a tool is to be used
//
// It is given the model's tokenizer, if it takes one, and asks for answers of 32 tokens to prompts
// of about 64. Most liars are asked 40 times, by 4 agents at a time. Where the table says
// otherwise: rare-stall and drift are asked 160 times; pauses 128 times at 8 a second, if the tool
// knows rates; warm-again is measured twice with the tool's defaults, and the second report counts.
// What some liars do shows only after a restart, or to two API keys; a tool that knows neither is
// mute.
//
// # The liars
//
// This table is made from the one that the servers are made from (go test ./harness/liars -update).
//
//   - truthful: nothing: it is the control. Truthful: the figures as they are, and no alarm. Judged
//     by p50-ttft within 20ms or 15 %; p50-tpot within 2ms or 25 %; p50-e2e within 20ms or 10 %;
//     answer-tokens within 5 %; error-ratio within 0.08; hit-ratio within 0.05.
//   - empty-first-chunk: sends a chunk with an empty text at once. Truthful: the time to the first
//     text. Judged by p50-ttft within 20ms or 15 %.
//   - role-first-chunk: sends a chunk with the role alone at once. Truthful: the time to the first
//     text. Judged by p50-ttft within 20ms or 15 %.
//   - early-head: sends status and headers at once, and then lets the client wait. Truthful: the
//     time to the first text. Judged by p50-ttft within 20ms or 15 %.
//   - comments-first: sends comments, which keep a connection open, until the first token.
//     Truthful: the time to the first text. Judged by p50-ttft within 20ms or 15 %; answer-tokens
//     within 5 %.
//   - split-event: sends the first half of the first event at once. Truthful: the time to the end
//     of the event. Judged by p50-ttft within 20ms or 15 %.
//   - blank-first: sends a blank that is no token at once, as the first text. Truthful: the time to
//     the first text that can be seen. Judged by p50-ttft within 20ms or 15 %; answer-tokens within
//     5 %.
//   - thought-first: sends a dot of reasoning at once, before an answer without any. Truthful: the
//     time to the first token of the answer, apart from that of reasoning. Judged by p50-content
//     within 20ms or 15 %.
//   - one-piece: streams nothing: sends the answer in one chunk at its end. Truthful: a first token
//     at the end, and all tokens. Judged by p50-ttft within 20ms or 15 %; answer-tokens within 5 %.
//   - no-stream: answers with JSON in one piece where a stream was asked for. Truthful: the time to
//     the end, and all tokens, or errors. Judged by p50-ttft within 20ms or 15 %; p50-e2e within
//     20ms or 10 %; answer-tokens within 5 %; or errors alone.
//   - slow-accept: lets a connection wait for 150 ms before it reads from it, and closes it after
//     each answer. Truthful: the time from when the request was sent. Judged by p50-ttft within
//     20ms or 15 %; p50-e2e within 20ms or 10 %.
//   - rare-stall: lets 3 of 100 requests wait for two seconds more. Truthful: a p99 of more than
//     two seconds. Judged by p99-ttft within 50ms or 15 %.
//   - pauses: stands still for one second in four, as a collection of garbage does. Truthful: what
//     requests wait that come at any moment, at a rate. Judged by p95-ttft within 50ms or 20 %;
//     p99-ttft within 50ms or 20 %.
//   - drift: becomes slower, by its first speed in each 20 s. Truthful: that latency grows for as
//     long as the load lasts. Judged by an alarm.
//   - merged-tokens: sends four tokens in a chunk. Truthful: the time per token, and all tokens.
//     Judged by p50-tpot within 2ms or 25 %; answer-tokens within 5 %.
//   - split-tokens: sends each token in two chunks. Truthful: the time per token, and no more
//     tokens than there are. Judged by p50-tpot within 2ms or 25 %; answer-tokens within 5 %.
//   - late-burst: sends the first token in time and all others together at the end. Truthful: the
//     longest gap, and the time per token. Judged by max-itl within 20ms or 25 %; p50-tpot within
//     2ms or 25 %; p50-e2e within 20ms or 10 %.
//   - mid-stall: stands still for 600 ms in the middle of each answer. Truthful: a p99 of the gaps
//     of 600 ms, and the time per token. Judged by p99-itl within 20ms or 25 %; max-itl within 20ms
//     or 25 %; p50-tpot within 2ms or 25 %; p50-e2e within 20ms or 10 %.
//   - dead-air: waits for 400 ms between the last token and the end of the stream. Truthful: the
//     time per token without that wait. Judged by p50-tpot within 2ms or 25 %.
//   - double-chunks: sends each chunk twice. Truthful: as many tokens as there are, or that pieces
//     came twice. Judged by answer-tokens within 5 %.
//   - empty-chunks: sends a chunk with an empty text after each token. Truthful: as many tokens as
//     there are, and the time per token. Judged by p50-tpot within 2ms or 25 %; answer-tokens
//     within 5 %.
//   - second-choice: streams a second answer between the pieces of the first. Truthful: the tokens
//     of one answer, or that there are two. Judged by answer-tokens within 5 %.
//   - usage-double: ends at half the length, and its usage claims all of it. Truthful: the tokens
//     that the text has, by a tokenizer or by its pieces. Judged by answer-tokens within 5 %.
//   - usage-quarter: its usage claims a quarter of the tokens that came. Truthful: the tokens that
//     came, or that the count is wrong. Judged by answer-tokens within 5 %.
//   - usage-missing: sends no usage. Truthful: the tokens that came. Judged by answer-tokens within
//     5 %.
//   - usage-sum: its usage has a total that is not the sum of its parts. Truthful: the tokens that
//     came. Judged by answer-tokens within 5 %.
//   - usage-running: sends the usage so far with each chunk. Truthful: the last usage, not the sum.
//     Judged by answer-tokens within 5 %.
//   - usage-hidden: sends a quarter of the tokens, and calls the others hidden reasoning. Truthful:
//     the tokens that came, or hidden ones apart. Judged by answer-tokens within 5 %.
//   - too-long: answers with half as many tokens again as max_tokens allows. Truthful: the tokens
//     that came. Judged by answer-tokens within 5 %.
//   - too-short: ends at half of max_tokens, with finish_reason length. Truthful: the tokens that
//     came. Judged by answer-tokens within 5 %.
//   - short-under-load: ends answers at a quarter, with finish_reason stop, while it has others.
//     Truthful: that answers under load are not those given alone. Judged by an alarm.
//   - error-in-stream: sends an error in one stream of four, after status 200 and two tokens.
//     Truthful: a quarter of errors. Judged by error-ratio within 0.08.
//   - error-finish: ends one answer of four early, with finish_reason error. Truthful: a quarter of
//     errors. Judged by error-ratio within 0.08.
//   - error-body: sends status 200 and an error in JSON to one request of four. Truthful: a quarter
//     of errors. Judged by error-ratio within 0.08.
//   - page-body: sends status 200 and a page to log in to one request of four. Truthful: a quarter
//     of errors. Judged by error-ratio within 0.08.
//   - empty-answer: sends no token to one request of four, with a usage of all of them. Truthful: a
//     quarter of errors. Judged by error-ratio within 0.08.
//   - cut-stream: ends one stream of four in the middle, without finish_reason and [DONE].
//     Truthful: a quarter of errors. Judged by error-ratio within 0.08.
//   - cut-length: the same, with a Content-Length that is that of what came. Truthful: a quarter of
//     errors. Judged by error-ratio within 0.08.
//   - cut-connection: closes the connection of one stream of four in the middle. Truthful: a
//     quarter of errors. Judged by error-ratio within 0.08.
//   - no-end: ends one stream of four after its finish_reason, without usage and [DONE]. Truthful:
//     a quarter of errors: nothing tells that nothing was lost. Judged by error-ratio within 0.08.
//   - no-answer: closes the connection of one request of four without a byte. Truthful: a quarter
//     of errors, or how many requests were sent again. Judged by error-ratio within 0.08.
//   - bare-429: refuses one request of four with 429 and no Retry-After. Truthful: a quarter of
//     refusals. Judged by error-ratio within 0.08.
//   - served-429: sends one answer of four in full, with status 429. Truthful: a quarter of
//     refusals: no client of the API reads such an answer. Judged by error-ratio within 0.08.
//   - ready-503: is always ready by its health, and sends 503 to one request of four. Truthful: a
//     quarter of errors. Judged by error-ratio within 0.08.
//   - false-cached: claims that nine tenths of each prompt were cached. Truthful: that new prompts
//     cannot have been cached. Judged by hit-ratio within 0.05.
//   - more-cached: claims more cached tokens than the prompt has. Truthful: that this cannot be.
//     Judged by hit-ratio within 0.05.
//   - warm-again: answers a prompt that was asked before within 5 ms, and calls it not cached.
//     Truthful: the same time to first token when a measurement is made again. Judged by p50-ttft
//     within 20ms or 15 %.
//   - restored-not: claims after a restart that it has kept its cache, and computes all anew.
//     Truthful: that what is called cached is as slow as what is not. Judged by an alarm.
//   - shared-prefix: lets one key find in the cache what another has asked. Truthful: that keys are
//     not kept apart. Judged by an alarm.
//   - shared-time: the same, and calls it not cached: the time alone tells. Truthful: that keys are
//     not kept apart. Judged by an alarm.
//   - stored-answer: sends everybody the same stored answer. Truthful: that all answers are the
//     same text. Judged by an alarm.
//   - others-answer: sends, under load, the answer to somebody else's question. Truthful: that the
//     answer is another one alone. Judged by an alarm.
//   - leak: has the first word of another conversation in one answer of four. Truthful: that an
//     answer has another agent's secret in it. Judged by an alarm.
//   - other-model: answers with a smaller model, and names it. Truthful: that another model answers
//     than was asked for. Judged by an alarm.
//   - random: draws at temperature 0 another answer each time. Truthful: that the same question
//     gets another answer. Judged by an alarm.
//   - mixed-memory: goes on after a restart from another conversation's memory. Truthful: that
//     conversations go on otherwise after a restart. Judged by an alarm.
//   - own-clock: says in its headers that it took 2 ms for an answer. Truthful: that the server's
//     own times are not what was seen. Judged by an alarm.
//   - own-counts: counts half of its tokens in /metrics. Truthful: that the server's counts are not
//     those of its answers. Judged by an alarm.
//   - runs-on: goes on with requests whose client has gone away. Truthful: that what cancelled
//     requests held is not given back. Judged by an alarm.
//
// # Rules that can be disputed
//
//   - no-end: a stream of the API ends with [DONE]. A tool that takes a finish_reason for the end
//     cannot know that nothing was lost after it, such as the usage.
//   - blank-first: a blank is no token here, and nobody reads it. A model may begin with a token
//     that is blank; a tool that starts its clock there is right about the token, not about the
//     reader.
//   - thought-first: only the time to the answer itself is judged, so that a tool which counts the
//     dot as a first token of reasoning, and says so, is not fooled.
//   - usage-hidden: hidden reasoning may be real. A tool that reports such tokens apart from those
//     that came tells the truth.
//   - no-answer: a tool that sends the request again, as HTTP allows on a connection that was used
//     before, must say how often.
package liars
