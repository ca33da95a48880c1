package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"loadstone/harness/load"
	"loadstone/harness/scenario"
	"loadstone/internal/helptext"
)

func overview() string {
	var b strings.Builder
	b.WriteString("Loadstone measures the latency of LLM inference servers under load, and " +
		"serves models itself.\n\nusage: loadstone COMMAND [ARGUMENTS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-10s  %s\n", c.name, c.summary)
	}
	fmt.Fprintf(&b, "\nStart with: loadstone bench. Every command has -h.\nTopics of help: %s.\n",
		strings.Join(topicNames(), ", "))
	return b.String()
}

const helpAbout = `Prints the overview, the help of a command (as its -h does), or more about a topic.`

const helpExamples = `  loadstone help
  loadstone help bench
  loadstone help files
`

func help(ctx context.Context, e *env, args []string) error {
	f := flags("help", helpAbout, helpExamples, e.stdout)
	if err := f.parse(args); err != nil {
		return err
	}
	args = f.Args()
	switch {
	case len(args) == 0:
		_, err := fmt.Fprint(e.stdout, overview())
		return err
	case len(args) > 1:
		return usageError("help takes one topic")
	case topics[args[0]] != "":
		_, err := fmt.Fprint(e.stdout, topics[args[0]])
		return err
	}
	if c := findCommand(args[0]); c != nil {
		return c.run(ctx, e, []string{"-h"})
	}
	return usageError("no help on %q; topics are %s, and every command",
		args[0], strings.Join(topicNames(), ", "))
}

func topicNames() []string {
	var names []string
	for name := range topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var topics = map[string]string{
	"files":   filesTopic(),
	"loads":   loadsTopic,
	"traces":  tracesTopic(),
	"caches":  cachesTopic,
	"seeds":   seedsTopic,
	"servers": serversTopic,
	"agents":  agentsTopic,
	"scenarios": scenariosTopic() + `
The repetitions are split into runs, and the runs of all scenarios take turns, so that a slow minute
of the machine falls on all of them. One run is one line in bench.txt and one sample for benchstat,
since requests within a run share queue and caches and are not independent of each other.

After each run, of loadstone run as well, four of its questions are asked again when nothing else
runs, unmeasured: greedy answers must be the same. An answer that is not counts as rounding where
the server's log-probabilities say that two tokens were nearly as likely. It is wrong where they say
otherwise, or where it is another agent's, and then the measurement fails. Of a server without
log-probabilities all other differences are a warning, and loadstone check looks closer.
`,
	"targets": `A baseline is held to four targets:

  p50 < 500 ms, p95 < 2000 ms, p99 < 5000 ms   end to end, from when a request was due to its last
                                               byte
  cache hit rate > 80 %                        of the prompt tokens, where the caches start hot

A target is met when every scenario meets it, and the figure shown is the worst scenario's. Failed
requests count as never answered. Refusals (429) and cancelled requests are counted apart. A
percentile within its target is met only where the requests are enough to bound it, and not shown
otherwise. loadstone bench -strict exits with 3 when a target is missed, and with 5 when one is not
shown.
`,
	"exit": `Exit codes:

    0  done
    1  it was begun and went wrong: a server died, a request was refused, files do not agree;
       bench, run: an answer is another agent's, or figures cannot be true; check: a check fails;
       gate: something got worse, or the head was not measured or has failed; compare: the same;
       history -strict: the last change of a series is for the worse
    2  wrong command line: an unknown flag, model or scenario, an address off this machine; gate,
       compare: files are empty, damaged, of unlike loads or (gate) machines, or of a measurement
       that has failed, so that nothing can be decided; history: too few commits to tell
    3  bench -strict, gate -slo, run: measured, and a target or limit was missed; bisect: the bad
       commit is no worse than the good one
    4  the server cannot be reached or started; bisect: the good or the bad commit cannot be built
    5  bench -strict, gate -slo, run: nothing is missed, but a percentile within its limit is not
       shown to hold: it was measured on too few requests to bound it (6 for a p50, 39 for a p90, 76
       for a p95, 441 for a p99, 4394 for a p99.9); bisect: the budget was too small
  130  interrupted; what was measured until then is kept and reported
  141  nobody reads standard output any more, as after loadstone bench | head; what was measured is
       kept

loadstone serve exits with 0 when it was asked to end and cut no answer off, with 1 otherwise, and
with 2 for a wrong command line.

2 is also that of gate for two addresses that are one server, and of a load with more requests at
once than this process may open files.

So a limit that is met is 0, one that is missed or not measured 3, one that is not shown 5, and
where several differ 3 comes before 5. gate -slo judges by the median over the runs. Each run must
bound the percentile, or all of them together where none is beyond the limit.
`,
	"results": `bench writes a folder:

  report.html    to look at; one file that loads nothing
  baseline.md    the baseline document: summary, method, results, targets, bottlenecks,
                 recommendations
  bench.txt      Go benchmark format. To compare two: loadstone compare before/bench.txt
                 after/bench.txt. Its Load lines say what each load asks, its Session line when;
                 violations, incomplete and client: invalid are in what is no sound measurement
  results.json   what the tables show, for programs: the machine, the server, the load, the verdicts
                 on the targets, and for each scenario the figures of all runs (all) and of each
                 (by_run). Times end in _ns. A time that was not measured is null; one of a request
                 without an answer is "never". ci95_ns has the 95 % interval of each percentile that
                 the sample is large enough to bound, and only those should be relied on. figures
                 has all that is one number, by the names that limits have. counters
                 has by how much the server's own counters rose in the runs (server) and what the
                 client has of the same requests, warm-up included (client): answered_requests,
                 prompt_tokens, cached_tokens, output_tokens; of the server also requests_STATUS,
                 rejects_REASON, evictions, restores, steps, cpu_seconds. Where the two cannot both
                 be right, the measurement is invalid. again has how many answers were compared with
                 those given alone, how many differ, and for how many of these that is rounding
                 (rounded) or cannot be told (open)
  summary.csv    the same figures for a spreadsheet: a row for each scenario, run ("all": together)
                 and metric, in ms
  requests.csv   a row for each measured request: its times in ms, tokens, outcome
  records.jsonl  a line for each request: when it was due, sent, first answered, each token, its
                 end; tokens; the server's own timing. No prompts; answers only with -answers
  samples.jsonl  what the server published of itself meanwhile, up to 50 times a second: queue,
                 running requests, share of the pool in use, and its peak in the run so far (our
                 server counts it step by step, so that none is missed)
  access.log     the server's own latencies; loadstone logs -records records.jsonl access.log
                 compares them with the client's
  server.log     what else the server wrote
  manifest.json  the SHA-256 of each of these files, for loadstone verify; manifest.sig its
                 signature, with -sign. -zip FILE packs all into one file, the same bytes for the
                 same results. results.json has the sums of this program, of the model's files where
                 it ran the server, and of the raw files (proof); what the requests can be made
                 again from (requests_from); and of each run the client's ledger, and what the
                 server held before and after it (held). records.jsonl has digests of prompts and
                 answers

While the load runs, its requests are in records.part.jsonl (of a long load also in
records.rest.jsonl), half a second late at most, and results.part.json has the machine, the server
and the load. Where the program was killed, or the disk was full, loadstone report FOLDER makes the
report of them, which says that it is incomplete. An -out folder that has an earlier measurement is
emptied of it when the first requests of the new one are written.

The raw files are records.jsonl and samples.jsonl. loadstone report FOLDER makes all others from
them again, with the head of results.json for what they do not contain: the machine, the server and
its counters, the load. Only their owner can read raw files (0600).

Metrics: ttft is from due to first token, itl between two pieces of an answer as they came (gap is
the same), tpot (last piece - first) / (tokens - 1) of an answer, e2e from due to end, lag from due
to sent (the client's own); server, queue, prefill and decode are as the server reports, network is
what the client waited beyond that. stall-ratio is the part of the time between first and last
pieces that was spent in gaps above 200 ms; tokens-per-piece tells gaps from times between tokens.
accept-ratio and tokens-per-step are of servers that compute tokens ahead (drafts, speculation) and
say how many were right: Loadstone in usage.drafts, llama.cpp in timings. Their tokens come in
bursts, so that tpot compares and itl does not.

An answer that ends as it should and of which the client saw no token is empty: an error, beside
failed in the table and in error-ratio. What the client did not understand or believe of a response
is noted: a usage that cannot be read, or that claims more tokens than max_tokens allows or than
came, counts as unknown (claimed_tokens in requests.csv and records.jsonl), and each piece of the
answer as a token.
`,
}

// scenariosTopic lists the five scenarios, as their files describe them.
func scenariosTopic() string {
	files, err := scenario.Five()
	if err != nil {
		panic(err) // they are embedded, and a test reads them
	}
	var b strings.Builder
	about := func(l *load.Load) {
		b.WriteString(helptext.Wrap(fmt.Sprintf("  %-15s ", l.Name), strings.Repeat(" ", 18), l.About))
	}
	b.WriteString(helptext.Wrap("", "", "The five scenarios of bench, each repeated 100 times by "+
		"default. They are scenario files like your own, to read or to start from: loadstone init "+
		"-scenario concurrent-10 (loadstone help files).") + "\n")
	for _, f := range files {
		about(&f.Load)
	}
	b.WriteString("\n" + helptext.Wrap("", "", "The four of bench -suite agents, in which each "+
		"session is a job. Lengths are parts of the server's context:") + "\n")
	for _, name := range scenario.AgentNames {
		f, err := scenario.Named(name)
		if err != nil {
			panic(err)
		}
		about(&f.Load)
	}
	return b.String()
}
