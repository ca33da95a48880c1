package command

import (
	"fmt"
	"strings"

	"loadstone/harness/figure"
	"loadstone/harness/load"
	"loadstone/harness/scenario"
)

// filesTopic is the reference of scenario files, made from the keys that their reader knows.
func filesTopic() string {
	var b strings.Builder
	b.WriteString(`A scenario file is a txtar archive: text, with more text files in it, each after a line -- NAME --. loadstone init writes
one to start from, loadstone run carries it out. Sections are

  load         the load: KEY: VALUE, a line each; # begins a comment
  expect       what must come of it, a limit a line
  system*.txt  system prompts; each agent has one of them
  prompts.txt  questions, separated by blank lines; each turn has one of them
  tools.json   a JSON array of tools that every request offers
  *.jsonl      a trace, named in the load

What stands before the first section is for people and for testscript, which runs the file as a test.

Keys of load:
`)
	group := ""
	for _, k := range scenario.Keys {
		if k.Group != group {
			group = k.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		fmt.Fprintf(&b, "  %-14s %s\n", k.Name, k.About)
		fmt.Fprintf(&b, "  %-14s %s\n", "", strings.Replace(k.Form, load.AmountForms, "an amount", 1))
	}
	fmt.Fprintf(&b, `
An amount is %s.

Limits of expect are such as p95-ttft < 200ms, rejected > 0 or hit-ratio >= 80%%. Operators: < <= > >= ==. There are
%s.
ttft is due to first token, itl between tokens, tpot per token of an answer, e2e due to end, lag the client's own delay.
In a sweep every level must hold them, in a search they are what is searched under. A percentile within its limit is not
shown to hold where too few requests were measured to bound it: 6 for a p50, 39 for a p90, 76 for a p95, 441 for a p99; then
run exits with 5.
`, load.AmountForms, figure.Names())
	return b.String()
}

const loadsTopic = `A load says when agents arrive, and what an agent asks. There are four ways to arrive:

  closed loop   concurrency: 8. So many agents at a time; where one has ended, the next begins. The server sets the pace: a
                slow one gets less to do, so this says what it can do, not what users would wait.
  open loop     rate: 4/s, with gaps even, poisson or gamma SHAPE between arrivals; the rate may ramp or go in steps. Agents
                arrive however many are busy, as users do. Latency counts from when a request was due.
  bursts        burst: 50 every 5s. So many at once.
  a trace       trace: FILE.jsonl. As recorded, in Mooncake's format: timestamp (ms), input_length, output_length and hash_ids,
                one for every 512 tokens; requests with equal ids at the beginning have prompts that begin alike.

An arrival is an agent. It asks its turns one after the other, each with the whole conversation and the server's real answers
in it, so 2 agents a second with 3 turns each are 6 requests a second, once the first are through. A refused agent comes back
after what Retry-After says. With fan-out, questions are asked in parallel after each answer, and the next turn begins with
their answers.

Requests can be taken back (cancel) and answers read slowly (slow) on purpose. Both are counted and kept out of the latencies.

A sweep makes a run at each of several rates or concurrencies. A search goes up in doublings from the lowest until something
that is expected no longer holds, and then halves the distance, until the highest level that holds is known well enough. Each
probe is a run of its own in the results.

Goodput is what a server answers in time: goodput says what an answer must hold for itself, such as ttft < 300ms, tpot < 50ms,
and those that do are counted by the second and as a share of all that was sent, refused and failed ones among it. A search
with good-ratio >= 90% in expect finds the highest load at which nine of ten users are served as they should be.

The beginning of a run is left out with warm-up. warm-up: auto finds where latency becomes steady by MSER-5, the cut after
which the mean of the rest has the least standard error; a cut beyond half of the run counts as none. A latency that grows as
long as the run lasts is reported: the server does not keep up.
`

const cachesTopic = `What an agent's cache holds when the clock starts decides its latency more than anything else, so a load says it, it is brought
about before, and every record and benchmark line has it:

  cold      the server has seen no prompt of the load. Every run has words of its own, and with -url every measurement; a run
            whose first prompt was in the cache all the same is an error.
  warm      every agent has had its first turn, which is not measured, and goes on.
  restored  the same, and then the server has forgotten what it had in memory. One that loadstone run starts is given a
            directory for its agents' memories and restarted; of another say how with -reset COMMAND or -reset-url ADDRESS.

A reset is done before each run, for restored caches between warming and measuring. Where it fails, nothing is measured:
numbers for a state that was not reached are worse than none.
`

const seedsTopic = `Everything that is drawn at random comes from a seed, so the same scenario is the same load, on any machine, however fast the
server is. A scenario has a seed for each purpose, so that one can be varied while all else stays:

  seed.text      the words of prompts, and the agents' secrets
  seed.length    tokens of prompts and answers, turns of an agent, questions in parallel
  seed.order     which agent gets which system prompt and which written question
  seed.schedule  when agents arrive
  seed.think     pauses
  seed.cancel    which requests are taken back or read slowly, and when

seed sets those that are not set by themselves, and loadstone run -seed all of them. Every choice is a function of its seed and
of its place (agent, turn, question) alone: no choice moves because another was added, or because an answer came late. In a
closed loop the server decides how far down the list of agents a run comes.

With -url and cold caches, seed.text is another one each time, unless it is given: a server that has seen a prompt is not cold.
The one that was used is in the results.
`
