// Package harness puts loads on a server and measures what comes of them: the five scenarios that
// every baseline is made of, and loads that people write down. It knows the wire alone, so any
// server with an API of OpenAI's or Anthropic's can be the target.
//
// # In tests
//
// New opens a Target for a test: a server that runs, or a command that is started and whose death
// fails the test. StressTestHarness.Run puts one load on it, Benchmark makes benchmarks of loads,
// and package script brings the same to testscript files.
//
// # How a measurement is made
//
// A load is data (package load): who comes when, asks what, pauses and is cancelled is a function
// of named seeds, so the same load is the same load whatever the server does. A Plan puts loads on
// a server in rounds, each load at each level, and every run follows one protocol (run.go): what is
// called cold is checked to have been cold, every request has a record, and the client's own count
// and the server's must agree with the records.
//
// Latency counts from when a request was due, failures enter the tail as "never", and the client's
// own lag is in the report. One benchmark line is one run: requests share batches and caches and
// are no independent samples. Four questions of each run are asked again alone afterwards, and an
// answer that is another agent's fails the measurement.
//
// Where one process is too few, a Plan has a Crew: workers, in other processes, that each carry out
// their share of every run (package workers).
//
// A Duel measures two targets in turns. What is seen is kept in records (package record) before
// anything is judged; package report makes every report from them.
//
// # Words
//
// These words mean one thing each, in this package and in those below it.
//
// Loads (package load):
//
//   - arrivals: when agents come. A closed loop has so many at a time, an open loop a rate; agents
//     that ask together have each turn at the same moment, a round.
//   - session: one agent's work, a graph of calls; a call waits for others, then for a tool or a
//     person, and goes on from a conversation.
//   - aside: a call that goes on from the agent's conversation and leaves no trace in it.
//   - level: how hard a run pushes, where a load is tried at several rates or numbers of agents.
//
// Requests (packages client and record):
//
//   - prompt: a question and how to ask it; a client sends it as one request.
//   - piece, chunk: what one event of a streamed answer adds to it, and when it arrived.
//   - record: what the client saw of one request, in times, tokens and its outcome.
//   - place: where a request stands in a measurement: scenario, run, round, agent, turn. It is
//     decided before the request is sent and does not change.
//   - outcome: how a request ended: ok, rejected (the server refused cleanly), failed, truncated,
//     timeout, refused (no connection) or cancelled (by the load itself).
//   - due: when the load wanted a request sent. Latency counts from here, so that a client or a
//     server that falls behind cannot hide it.
//   - lag: from due to sent, the client's own share of a latency.
//   - turn: one question and its answer, of one agent.
//   - run: one run of one scenario, one line in a benchmark file, one sample for the gate.
//
// What must be true (packages record and audit):
//
//   - violation: something that must never happen, whatever the latencies.
//   - canary: a secret word at the beginning of an agent's conversation, of this agent alone.
//   - leak: an answer that contains another agent's canary.
//   - ledger: the client's count of its requests, apart from all records. The records must add up
//     to it (conservation, Little's law).
//   - account: what a server, or a client, counted during a run.
//   - variant: an answer that differs from the one given alone, but is not corrupt: two tokens were
//     nearly as likely (a near tie), and another batch rounds to the other one.
//
// The server (package metrics):
//
//   - scrape: one reading of a server's /metrics.
//   - sample: its queue, its running requests and the share of its KV pool in use, at one moment.
//   - block, window slot: the two things that the pool of our server consists of; a window slot is
//     the KV of a sliding-window layer.
//   - hot, disk, cold: an agent's cache is in the pool, on disk, or nowhere. A load whose caches
//     are restored begins from disk.
//
// The client itself (package stub):
//
//   - stub server: a server that computes nothing.
//   - calibration: what the client measures of a stub server: its own error on this machine.
//   - replay: the densest piece of a load, sent to a stub server.
package harness
