package harness

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"loadstone/harness/load"
	"loadstone/harness/record"
)

// keptRecords is how many records of a measurement stay in memory, some 25 MiB, and minKept how
// many of each of its runs: enough for every chart.
const keptRecords, minKept = 20_000, 1_000

// keptOf is how many of each of so many runs.
func keptOf(runs int) int { return max(keptRecords/max(runs, 1), minKept) }

// A keeper holds a run's records: the first in full, and every later batch only until it was
// written and counted, which happens beside the load. It holds all of them to what must be true.
type keeper struct {
	keep    int
	goodput load.Objective              // what a good answer of the run must hold
	write   func([]record.Record) error // unless nil, is given every batch
	journal func([]record.Record)       // unless nil, is given the records that are kept
	tokens  func(string) (int, error)   // unless nil, counts those of texts that are not kept
	check   record.Checker
	untick  func() // ends the flushing

	mu          sync.Mutex // kept, journaled and batch
	kept, batch []record.Record
	journaled   int                  // how many of kept the journal has
	full, empty chan []record.Record // to and from the goroutine that deals with the batches
	done        chan struct{}
	rest        *record.Rest
	err         error // of write, or tokens
}

// batchSize is small enough for the load not to feel one's being dealt with.
const batchSize = 1000

// flushEvery is how long a record waits for the file, where it has a journal to go to.
const flushEvery = 500 * time.Millisecond

// begin lets records go to the journal as they come, until close.
func (k *keeper) begin() {
	if k.journal != nil {
		k.untick = Every(flushEvery, k.flush)
	}
}

// flush writes what was not written yet. A record that is kept does not change before close.
func (k *keeper) flush() {
	k.mu.Lock()
	part := k.kept[k.journaled:]
	k.journaled = len(k.kept)
	if len(k.batch) > 0 {
		k.full <- k.batch
		k.batch = <-k.empty
	}
	k.mu.Unlock()
	if len(part) > 0 {
		k.journal(part)
	}
}

func (k *keeper) add(r record.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kept) < k.keep {
		k.kept = append(k.kept, r)
		return
	}
	if k.rest == nil {
		k.rest = &record.Rest{Tally: record.Tally{Goodput: k.goodput}}
		k.full, k.empty, k.done = make(chan []record.Record, 1), make(chan []record.Record, 3),
			make(chan struct{})
		k.empty <- make([]record.Record, 0, batchSize)
		k.empty <- make([]record.Record, 0, batchSize)
		k.batch = make([]record.Record, 0, batchSize)
		go k.deal()
	}
	if k.batch = append(k.batch, r); len(k.batch) == batchSize {
		k.full <- k.batch
		k.batch = <-k.empty
	}
}

func (k *keeper) deal() {
	defer close(k.done)
	k.check.Add(k.kept)
	for batch := range k.full {
		if k.tokens != nil {
			k.err = errors.Join(k.err, record.Recount(batch, k.tokens, 0))
		}
		k.check.Add(batch)
		k.rest.Add(batch)
		if k.write != nil && k.err == nil {
			k.err = k.write(batch)
		}
		clear(batch) // their texts are not needed any more
		k.empty <- batch[:0]
	}
}

// close deals with the last batch and returns the records that are kept, in the order in which they
// were due. Only then check, rest and err may be looked at.
func (k *keeper) close() []record.Record {
	if k.untick != nil {
		k.untick()
		k.flush()
	}
	if k.rest == nil {
		k.check.Add(k.kept)
	} else {
		if len(k.batch) > 0 {
			k.full <- k.batch
		}
		close(k.full)
		<-k.done
	}
	slices.SortStableFunc(k.kept, func(a, b record.Record) int { return cmp.Compare(a.Due, b.Due) })
	return k.kept
}
