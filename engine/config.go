package engine

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config says what an engine runs and how much it may take. The zero value of each number is its default.
type Config struct {
	Model       Model
	KVBytes     int64 // budget of the pool in bytes, of which whole blocks and locals are made. 0: 256 MiB
	BlockTokens int   // tokens in a block, the unit of allocation and of sharing. 0: 32
	MaxBatch    int   // requests that run at once. 0: 32
	StepTokens  int   // most tokens in one step: decoding requests first, prompts may fill the rest (see pace). 0: 256
	MaxQueue    int   // requests that wait. 0: 512
	MaxPerAgent int   // requests of one agent that wait or run; anonymous ones are not counted. 0: no limit

	// The warm tier: agents' memories on disk.
	Dir         string        // where they are, 0700, of this engine alone. Empty: there is none
	Fingerprint string        // of all that the KV depends on: weights, tokenizer, template, KV format. Others' memories are not used
	DiskBytes   int64         // most that the files may take; the longest unused go first. 0: 16 GiB
	TTL         time.Duration // after which an unused memory is deleted. 0: never
	SaveAfter   time.Duration // how long a memory rests before it is saved. 0: a second
}

// complete puts the defaults in and returns what the budget has room for.
func (c *Config) complete() (layout, error) {
	if c.Model == nil {
		return layout{}, errors.New("engine: Config.Model is nil")
	}
	for _, n := range []struct {
		name   string
		at     *int
		preset int
	}{
		{"BlockTokens", &c.BlockTokens, 32},
		{"MaxBatch", &c.MaxBatch, 32},
		{"StepTokens", &c.StepTokens, 256},
		{"MaxQueue", &c.MaxQueue, 512},
	} {
		if *n.at < 0 {
			return layout{}, fmt.Errorf("engine: Config.%s is %d: it must be positive, or 0 for %d", n.name, *n.at, n.preset)
		}
		if *n.at == 0 {
			*n.at = n.preset
		}
	}
	if c.DiskBytes < 0 || c.TTL < 0 || c.SaveAfter < 0 || c.MaxPerAgent < 0 {
		return layout{}, errors.New("engine: Config's DiskBytes, TTL, SaveAfter and MaxPerAgent must not be negative")
	}
	c.DiskBytes = cmp.Or(c.DiskBytes, 16<<30)
	c.SaveAfter = cmp.Or(c.SaveAfter, time.Second)
	if c.KVBytes == 0 {
		c.KVBytes = 256 << 20
	}
	return newLayout(c.Model, c.KVBytes, c.BlockTokens, c.StepTokens)
}
