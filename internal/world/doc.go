// Package world runs the whole server in a world of its own, in which everything is decided by one
// seed: the HTTP handlers of package server, package engine on the backend ref with a network of
// three thousand weights, the store of agents' memories on a disk in memory that fails and loses
// power, the network, the clients, the clock, and the order in which goroutines run. The same seed
// gives the same event log, byte for byte, on any machine.
//
//	seed -> script.Draw -> script -> guest (wasip1, in wazero) -> event log, invariant that fails
//	                          ^                                      |
//	                          '-------- Shrink: without an action ---'
//
// # How it is deterministic
//
// The guest, package internal/world/guest, is an ordinary Go program, which is compiled with
// GOOS=wasip1 GOARCH=wasm and run by wazero. There the Go runtime has one thread, no monitor and no
// preemption, and takes every random number, of maps, of select, of math/rand and of crypto/rand,
// from random_get, which the host serves from the seed. An overlay of the runtime has a clock of
// its own: time goes on by a microsecond whenever it is asked for, and at once to the next timer
// when all goroutines wait, so an hour costs nothing. The runtime's scheduler has a constant with
// which it shuffles the order of goroutines under the race detector; the overlay turns it on, so
// that each seed has a schedule of its own.
//
// The guest is a library: its runtime and packages start once, it warms up with a short episode,
// and what that leaves in its memory and registers is the image with which each seed begins. So all
// seeds have the hash functions of one start, and maps and caches that were made before. Everything
// random beyond that is the seed's, because the guest's runtime draws its seeds anew when an
// episode begins. An instance of WebAssembly plays many seeds, with the image put back before each:
// to make an instance costs as much as a tenth of a seed.
//
// With -native, on Linux on amd64 and arm64, the guest is a process instead, some six times as
// fast. Further changes of its runtime make that like WebAssembly: one thread, no monitor, no
// random numbers of the system, the same hashes and exponentials. It warms up, and forks for each
// episode. A seed has the same log as in WebAssembly, byte for byte, which TestNative shows: what
// would make the two ask for the time at other moments is left out of both, such as the collection
// of garbage and statistics of the runtime's. Of 20 seeds the logs were the same on arm64 as well,
// emulated. WebAssembly is the reference, and the only way on other systems.
//
// testing/synctest was the other way: its time is virtual too, but its goroutines run in parallel
// and its randomness is the process's, so a seed does not replay. Serialising goroutines by hand
// would need a hook before each lock and channel of the code that is to be tested as it is.
//
// # What is played
//
// Five of six episodes are short, and each has some kinds of requests and faults and not others
// (script.Draw). Clients stream and do not, with the usage and without, ask for several answers,
// name strings that end an answer, set a salt of the cache, have answers drawn by a seed, call a
// tool and send back what it returns, ask the same again or edit what they have asked, continue
// stored responses, read slowly, go away, pin, export, import, with a bit changed too, and delete,
// compress what they send, to more than is allowed as well, and have two keys at once. The server
// restarts, in order or because the power goes, also as soon as it has answered, the disk and the
// model fail, keys change. At the end the world rests, every agent is asked and looked at,
// the server ends once more in one of the two ways, and the agents are looked at again.
//
// # What holds
//
// Each request ends once: with a whole answer, with an error of the table, or because of something
// that the script has done to it. Each answer, and what came of one that was cut off, is that of a
// plain oracle: the model called with one prompt and no batch, with the request's seed and
// temperature, and held to the tool that it must call. What a response of the Responses API has
// stored can be continued by its id and read, after restarts too, until its agent is deleted.
// Requests that follow each other on one connection fare like those on their own. No principal gets
// cached tokens for a prompt that it has not sent itself with the same salt, or sees a name or a
// word of another. At rest every block, slot and place in a queue is free, the books have the bytes
// that the files have, no file is half-written, and a request is taken. What an answer said
// to be on disk is there after a loss of power, and what was deleted is not. A drain ends in time.
// A file that the disk has failed to read is there when the disk is well again. Nothing is computed
// for clients that are gone; a stream is never silent for long; a limit of the rate is reached
// before it refuses; an error inside the server is in its log. When the server has ended, no
// goroutine is left. The guest is built with the tag invariants, so the engine counts its books
// after every step as well.
//
// # Commands
//
//	go test ./internal/world                                 # some seeds, and that they replay
//	go test ./internal/world -native -run Seeds -seeds 10000 -v   # or as many as -for 150s allows
//	go test ./internal/world -native -run Seeds -seeds 1000000 -first 10000 -timeout 0
//	go test ./internal/world -run Script -script FILE -v     # the log of one episode
//	go test ./internal/world -run Logs -logs -v              # a hash of each log, for two machines
//	go test ./internal/world -run Seeds -overlay FILE -env LOADSTONE_PLANTED=name
//
// In WebAssembly a seed takes 30 to 40 ms on two cores of a shared EPYC on which nothing else runs
// here (1963 seeds in 57.9 s), so 10 000 take five to seven minutes. With -native 10 000 took three
// minutes and ten seconds beside a load of eleven processes, and a seed 11 ms of a core. A fifth of
// a seed is the network, and the rest is spread over the whole server.
//
// The last command builds the guest with the overlay of go build and runs it with the variable:
// with a planted bug, for instance. A line that begins with "world:" says what was found, for
// programs. An episode that fails is shrunk to the actions that it needs and written as a script,
// which replays.
package world
