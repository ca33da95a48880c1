// Package workers puts one load on a server from many processes, on one machine or many, and
// measures it as if it were one: workers send, a coordinator leads. They talk over a NATS server.
//
//	loadstone workers -n 4 -----+
//	loadstone worker -join URL -+- NATS -- loadstone run|bench -workers URL (the coordinator)
//	                            |                    |
//	                            +--- requests ---> server under test <--- metrics, checks
//
// # What is split
//
// The schedule is, in one place, [loadstone/harness/load.Share]: each agent belongs to one worker,
// and what it asks is a function of the load's seeds. All workers' requests together are those of
// one process. In a closed loop of N agents at a time, with n workers, each worker has N/n places,
// and the first N mod n one more; which agent takes a place next each worker decides alone, in the
// order in which its own places become free.
//
// The coordinator makes the run (package harness, Plan.Crew): it warms the server up, gives each
// worker its [loadstone/harness.Job], and takes the records as requests end. All that must be true
// of them is held against all of them together, and the files that it writes are those of one
// process. Percentiles are of all requests; none is a mean of others.
//
// Agents that ask together wait for each other across workers: each tells when its own have come to
// a round, and the coordinator tells all when the round is due.
//
// A cache's ceiling (package ceiling) depends on what all have sent, so the coordinator finds it
// after each run: it makes the prompts again from the seeds and the answers, in the order of their
// times. It is not known of a run with more requests than stay in memory (20 000 of a measurement),
// nor of parts of a load that nobody leads.
//
// # What is lost
//
// A worker and a coordinator say three times a second that they are there. Of a worker that has
// been silent for four seconds the rest of its part was not sent; the others go on to the end of
// the run, whose report says so, and the measurement ends. A worker that hears nothing of its
// coordinator for as long stops its load and waits for another one. Without a NATS server all hear
// nothing.
//
// # Who may
//
// A client that can publish to the NATS server decides what the workers load. So the server listens
// on loopback unless its configuration authenticates its clients, by users, keys or certificates,
// and a worker takes only targets on its own machine unless it is told that it may take others.
// Prompts, answers and API keys go over NATS: to a server on another machine with TLS, unless the
// Access of a worker or of a coordinator allows a connection without.
package workers
