package engine

import (
	"context"
	"errors"
)

// Config says what an engine runs and how much it may take. The zero value of each number is its default.
type Config struct {
	Model       Model
	KVBytes     int64 // budget of the pool in bytes; whole blocks of it are used. 0: 256 MiB
	BlockTokens int   // tokens in a block, the unit of allocation and of sharing. 0: 32
	MaxBatch    int   // requests that run at once. 0: 32
	StepTokens  int   // most tokens in one step: decoding requests first, prompts fill the rest. 0: 256
	MaxQueue    int   // requests that wait. 0: 512
}

// An Engine answers requests with one model. Its methods may be called from any goroutine.
type Engine struct{}

// New allocates the pool and starts the engine.
func New(cfg Config) (*Engine, error) { return nil, errors.New("engine: not yet") }

// Submit queues a request.
func (e *Engine) Submit(ctx context.Context, r Request) (*Stream, error) { return nil, ErrDraining }

// Stats is the latest snapshot. It never waits for a step.
func (e *Engine) Stats() Stats { return Stats{} }

// Drain stops admission and finishes what was accepted.
func (e *Engine) Drain(ctx context.Context) error { return nil }

// Close drains with no patience and closes the model.
func (e *Engine) Close() error { return nil }
