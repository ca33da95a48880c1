package command

import (
	"fmt"
	"strings"

	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/scenario"
	"loadstone/internal/helptext"
)

// filesTopic is the reference of scenario files, made from the keys that their reader knows.
func filesTopic() string {
	var b strings.Builder
	b.WriteString(filesTopicHead)
	group := ""
	for _, k := range scenario.Keys {
		if k.Group != group {
			group = k.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		form := strings.Replace(k.Form, load.AmountForms, "an amount", 1)
		const rest = "                 " // as wide as the column of names
		b.WriteString(helptext.Wrap(fmt.Sprintf("  %-14s ", k.Name), rest, k.About))
		b.WriteString(helptext.Wrap(rest, rest, form))
	}
	fmt.Fprintf(&b, filesTopicTail, helptext.Wrap("", "", "An amount is "+load.AmountForms+"."),
		helptext.Wrap("", "", figure.Names()+"."))
	return b.String()
}

const filesTopicHead = `A scenario file is a txtar archive: text that contains more text files, each after a line
-- NAME --. loadstone init writes one to start from, loadstone run carries it out. Its sections are

  load         the load: KEY: VALUE, one a line; # begins a comment
  expect       what must hold, a limit a line
  system*.txt  system prompts; each agent has one of them
  prompts.txt  questions, separated by blank lines; each turn has one of them
  tools.json   a JSON array of tools that every request offers
  schema.json  a JSON schema that every answer is to hold to; one that is no JSON is a violation
  *.jsonl      a trace, named in the load; also trace*.json and *.csv

The text before the first section is for people, and for testscript, which runs the file as a test.

Keys of load:
`

const filesTopicTail = `
%s
Limits of expect are such as p95-ttft < 200ms, rejected > 0 or hit-ratio >= 80%%. Operators: < <= >
>= ==. There are
%sttft is from due to first token, itl between pieces of an answer, tpot per token of an answer after
the first, e2e from due to end, lag the client's own delay. An answer without such a time, such as
one in a single piece for tpot, is within no bound of goodput. In a sweep every level must hold the
limits; a search looks for the highest level that holds them. A percentile within its limit is not
shown to hold where too few requests were measured to bound it: 6 for a p50, 39 for a p90, 76 for a
p95, 441 for a p99; then run exits with 5.
`

const loadsTopic = `A load says when agents arrive, and what an agent asks. There are four ways to arrive:

  closed loop   concurrency: 8. So many agents at a time; when one has ended, the next begins. The
                server sets the pace: a slow one gets less to do, so this says what it can do, not
                what users would wait.
  open loop     rate: 4/s, with gaps even, poisson or gamma SHAPE between arrivals; the rate may
                ramp or go in steps. Agents arrive however many are busy, as users do. Latency
                counts from when a request was due.
  bursts        burst: 50 every 5s. So many at once.
  a trace       trace: FILE. As recorded; loadstone help traces says of what.

An arrival is an agent. It asks its turns one after the other, each with the whole conversation and
the server's real answers in it, so 2 agents a second with 3 turns each are 6 requests a second,
once the first ones are through. An agent that was refused comes back after what Retry-After says.
With fan-out, questions are asked in parallel after each answer, and the next turn begins with their
answers.

Requests can be cancelled (cancel) and answers read slowly (slow) on purpose. Both are counted and
kept out of the latencies.

A sweep makes a run at each of several rates or concurrencies. A search doubles the lowest level
until a limit of expect no longer holds, and then halves the distance until the highest level that
holds is known well enough. Each probe is a run of its own in the results.

Goodput is what a server answers in time. goodput says what each answer must hold, such as ttft <
300ms, tpot < 50ms. The answers that do are counted by the second, and as a share of all requests
that were sent, with refused and failed ones among them. A search with good-ratio >= 90% in expect
finds the highest load at which nine of ten users are served as they should be.

The beginning of a run is left out with warm-up. warm-up: auto finds where latency becomes steady by
MSER-5, the cut after which the mean of the rest has the smallest standard error; a cut beyond half
of the run counts as none. A latency that grows as long as the run lasts is reported: the server
does not keep up.
`

// tracesTopic is about recorded traffic.
func tracesTopic() string {
	return fmt.Sprintf(tracesText, strings.Join(load.SourceForms(), "\n  "))
}

const tracesText = `A trace is recorded traffic: a section of the scenario file, or the path of a file or folder from
the scenario file on, compressed by gzip or not. Its form is told by the content; there are

  %s

Some have single requests, with times and lengths; those come as they were recorded. Others have
sessions: an agent's calls, which wait for each other and for tools and people, with sub-agents
beside them. Sessions come as recorded, or one after the other where their times are not known, or
as concurrency, rate, burst or together says. Without requests or duration each is replayed once.

Where a trace has texts, prompts have them, tool calls and results included, byte for byte. Where it
has lengths or hashes, prompts are made-up words that share as much as the recorded ones did.

  answers        recorded (the default): later prompts are what they were. served: they have the
                 server's own answers in them, with the recorded tool calls, whose results follow.
  answer-length  recorded (the default): max_tokens is the recorded length, and a server that takes
                 ignore_eos and min_tokens is told to give no fewer. The report counts the answers
                 of another length. asked: as the recorded call asked.
  salt           run (the default): a word before the first message, new in each run and the same in
                 all sessions, so that the server has seen none of it. none: texts as they were;
                 then begin with a server that is new, or whose cache was emptied (-reset).
  speed, idle    10 replays ten times as fast, pauses included; idle: 30s cuts longer pauses to it.
  lengths        0.25 makes lengths a quarter; texts are cut to it.
  overflow       what becomes of a call that exceeds the server's context: send (the default), skip,
                 cut (the oldest messages after the first question are left out, to three quarters
                 of the context, so that the next calls find the same beginning) or compact (a
                 summary of a tenth of their length takes their place). context says how long it is
                 where the server does not. The report counts them.

Mooncake's requests are timestamp (ms), input_length, output_length and hash_ids, one for every 512
tokens; requests whose ids begin alike have prompts that begin alike. Ids are whole numbers of any
size or strings. Where the first timestamp is a date since 1970, in any unit, the load begins at it;
other units than ms are said with timestamps. Calls without an answer are left out, and counted in a
note. go doc loadstone/harness/load.Recording has the form of loadstone's own recordings.
`

const cachesTopic = `What an agent's cache holds when the clock starts decides its latency more than anything else. So a
load says it, it is brought about before the run, and every record and benchmark line has it:

  cold      the server has seen no prompt of the load. Every run has words of its own, and with -url
            every measurement. A run whose first prompt was in the cache all the same is an error.
  hot       every agent has had its first turn, which is not measured, and goes on (also: warm).
  restored  the same, and then the server has forgotten what it had in memory, but not on disk. A
            server that loadstone run starts is given a directory for its agents' memories and
            restarted; for another one say how with -reset COMMAND or -reset-url ADDRESS.

A reset is done before each run, for restored caches between warming and measuring. Where it fails,
nothing is measured: numbers for a state that was not reached are worse than none.

What the label says is held to what the server says, in bench, run and gate alike. Cold is shown by
the cached_tokens of its usage. Restored is shown by them and by a count of restores in /metrics: a
server that restored none, though it found the conversations, had them in memory. A label that is
wrong is an error. One that nothing shows, as of a server that tells no cached_tokens, is called
unproven in a note. gate -base-url and -head-url must be two servers: it looks where both addresses
lead, and whether one has in its cache, or counts, what only the other was asked.
`

const serversTopic = `Any server that speaks OpenAI's chat, completions or responses API, or Anthropic's messages API, can
be measured with -url, by bench, run, check, gate and ask alike. What it wants beside that is said
with flags, or in a scenario:

  -api NAME          chat, completions, messages or responses; the default, auto, is the first of
                     chat, messages, responses and completions that the server has, and for sessions
                     that were recorded the API in which they were. Records are of one form: finish
                     reasons are OpenAI's words, and tokens of reasoning are counted apart. What an
                     API has no words for (tools in completions, stop strings in responses) is
                     refused. messages wants a bound on answers: where a load has none, it is 4096
                     tokens. It and responses have no seed. With messages the key is sent as
                     X-Api-Key as well
  -key-file FILE     an API key, the first word in the file, sent as a bearer token; or set
                     LOADSTONE_KEY. A server that loadstone starts with -api-key-file, or with keys
                     in its environment, is asked with the first of them
  -header 'K: V'     a header of every request, such as 'api-key: KEY' (scenario: header)
  -body FIELD        a change of every request's body (scenario: body):
                       temperature=                               leaves a field out
                       max_completion_tokens=@max_tokens          sends it under another name
                       'chat_template_kwargs={"thinking":false}'  adds or replaces one, by JSON
  -ca FILE           whom to trust, in PEM, of an https server with a certificate of its own
  -insecure          trust any certificate
  -allow-remote      an address off this machine

The tokens that a server claims of an answer are bounded by max_tokens, by the bytes that came, and,
where one is known, by a tokenizer: that of a model served here, of -tokenizer FOLDER, or the
server's own /tokenize, which is asked after a run. A claim beyond that counts as unknown, and the
reason is noted; check fails for it.

Redirects are not followed: a load goes where you send it and nowhere else. The error has the
address to give instead. /metrics is optional. What is there in place of metrics (a page, JSON,
nothing in 3 seconds) is named in a note, and not asked for again.

Every request in flight is an open file. A load whose number of requests at once is known is refused
where the limit (ulimit -n; it is raised as far as the system allows) is below it. A load that runs
into it, or out of local ports, ends with an error that names the client, not the server.
`

const agentsTopic = `Programs that work with a model talk to loadstone serve as they do to the vendor's own server. In
what follows 127.0.0.1:8080 is the server's address, NAME its -model (or an -alias; loadstone serve
-alias '*' takes any), and KEY its API key: any word where it has none. X-Agent-ID names the memory
that goes on between turns and restarts; give each conversation that is to have one of its own
another name.

Claude Code (Anthropic's API; the base URL has no /v1)

  export ANTHROPIC_BASE_URL=http://127.0.0.1:8080 ANTHROPIC_AUTH_TOKEN=KEY
  export ANTHROPIC_MODEL=NAME ANTHROPIC_DEFAULT_HAIKU_MODEL=NAME
  export ANTHROPIC_CUSTOM_HEADERS='X-Agent-ID: NAME-OF-PROJECT'
  claude

Codex (the Responses API), ~/.codex/config.toml. Its header session_id names the agent. The tools
that OpenAI's servers run are not here, so they are turned off; the window says when to shorten.

  model = "NAME"
  model_provider = "loadstone"
  model_context_window = 32768
  web_search = "disabled"
  [features]
  image_generation = false
  [model_providers.loadstone]
  name = "Loadstone"
  base_url = "http://127.0.0.1:8080/v1"
  wire_api = "responses"
  env_key = "LOADSTONE_KEY"

opencode (chat), opencode.json

  {"$schema": "https://opencode.ai/config.json", "model": "loadstone/NAME",
   "provider": {"loadstone": {"npm": "@ai-sdk/openai-compatible", "name": "Loadstone",
     "options": {"baseURL": "http://127.0.0.1:8080/v1", "apiKey": "{env:LOADSTONE_KEY}",
                 "headers": {"X-Agent-ID": "opencode"}},
     "models": {"NAME": {"limit": {"context": 32768, "output": 8192}}}}}}

Continue (chat), ~/.continue/config.yaml

  models:
    - name: Loadstone
      provider: openai
      model: NAME
      apiBase: http://127.0.0.1:8080/v1
      apiKey: KEY
      roles: [chat, edit, apply]
      capabilities: [tool_use]
      requestOptions: {headers: {X-Agent-ID: continue}}

LangChain (chat; the Responses API with use_responses_api=True)

  ChatOpenAI(model="NAME", base_url="http://127.0.0.1:8080/v1", api_key="KEY",
             default_headers={"X-Agent-ID": "NAME-OF-AGENT"})

Vercel AI SDK: createOpenAI speaks the Responses API, createOpenAICompatible chat

  createOpenAI({baseURL: "http://127.0.0.1:8080/v1", apiKey: "KEY"})("NAME")
  createOpenAICompatible({name: "loadstone", baseURL: "http://127.0.0.1:8080/v1", apiKey: "KEY",
                          headers: {"X-Agent-ID": "NAME-OF-AGENT"}})("NAME")

The answers say what the cache was worth: usage has cached_tokens, and X-Cache-Miss says why the
rest was computed. What a server cannot hold, it refuses by the field's name.
`

const seedsTopic = `Everything that is drawn at random comes from a seed, so the same scenario is the same load on any
machine, however fast the server is. A scenario has a seed for each purpose, so that one can be
varied while all else stays:

  seed.text      the words of prompts, and the agents' secrets
  seed.length    tokens of prompts and answers, turns of an agent, questions in parallel
  seed.order     which agent gets which system prompt and which written question
  seed.schedule  when agents arrive
  seed.think     pauses
  seed.cancel    which requests are cancelled or read slowly, and when

seed sets those that are not set by themselves, and loadstone run -seed sets all of them. Every
choice is a function of its seed and of its place (agent, turn, question) alone: no choice moves
because another was added, or because an answer came late. In a closed loop the server decides how
far down the list of agents a run gets.

With -url and cold caches, seed.text is another one each time, unless it is given: a server that has
seen a prompt is not cold. The results have the seed that was used.
`
