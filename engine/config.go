package engine

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"loadstone/engine/internal/kv"
	"loadstone/engine/internal/snapshot"
	"loadstone/internal/files"
	"loadstone/internal/objects"
	"loadstone/internal/seal"
)

// Config says what an engine runs and how much it may take. The zero value of each number is its
// default.
type Config struct {
	Model       Model
	KVBytes     int64 // budget of the pool in bytes, for whole blocks and window slots. 0: 256 MiB
	BlockTokens int   // tokens in a block, the unit of allocation and of sharing. 0: 32
	MaxBatch    int   // requests that run at once. 0: 32
	MaxQueue    int   // requests that wait. 0: 512

	// StepTokens is the most tokens in one step: decoding requests take theirs first, prompts may
	// have the rest (see pace). 0: 256.
	StepTokens int

	// MaxPerAgent limits the requests of one agent that wait or run; anonymous ones are not
	// counted. 0: no limit.
	MaxPerAgent int

	// NoDrafts has every step give a stream one token. Without it, the tokens that followed when a
	// stream's last tokens occurred before, in its prompt or its answer, are computed along with its
	// next token; where they are right, the stream gets several tokens in a step. Tokens that must
	// follow, by Request.Ahead, are taken at once. Answers are the same.
	NoDrafts bool

	// Sharing says which requests share prefixes. The zero value is ShareOwn.
	Sharing Sharing

	// Dir is the directory of agents' memories on disk, mode 0700, for this engine alone unless
	// Shared. Empty: memories are not kept on disk, and the fields below mean nothing.
	Dir string
	// Shared says that other engines of the same model use Dir at the same time, on this machine or
	// on others that mount it. An agent's memory then moves to the engine that gets its next request.
	// See "Several engines on one directory" in the documentation of the package.
	Shared bool
	// Bucket keeps agents' memories in an object store instead of in a directory. The engine is
	// Shared then, and Dir must be empty. SealKeys seal what is put there. The caller closes the
	// bucket, after the engine. See "An object store" in the documentation of the package.
	Bucket objects.Bucket
	// Lease is how long an engine that hangs is waited for: then others have what it has not saved of
	// its agents computed anew. One whose process has ended is not waited for. 0: 15 seconds.
	Lease time.Duration
	// SealKeys are keys of 32 bytes. The files are sealed with the first, by AES-256-GCM, and
	// opened with any of them. None: files are not sealed.
	SealKeys [][]byte
	// Fingerprint stands for everything that the KV depends on: weights, tokenizer, template and KV
	// format. Memories with another fingerprint are not used.
	Fingerprint string
	DiskBytes   int64         // limit of the files; the least recently used go first. 0: 16 GiB
	TTL         time.Duration // after which an unused memory is deleted. 0: never
	SaveAfter   time.Duration // how long a memory rests before it is saved. 0: a second
	// SaveWithin is how old a turn may get before it is on disk, as long as the disk keeps up,
	// though its agent never rests. 0: memories are saved when they rest, and only then.
	SaveWithin time.Duration

	// Files is the file system of Dir; tests give others. nil: the operating system's.
	Files files.System
}

// chunkCache is how many bytes of KV stay in RAM after they were read from a bucket or put there:
// another agent's restore may need the same, when the pool has it no longer.
const chunkCache = 128 << 20

// useBucket keeps the memories in the bucket.
func (c *Config) useBucket(keys []*seal.Key) {
	c.Shared, c.Dir = true, objects.Root
	c.Files = objects.New(c.Bucket, objects.Options{Keys: keys, Fence: snapshot.Fence, Term: c.Lease,
		Cache: chunkCache})
}

// complete puts the defaults in and returns what the budget has room for.
func (c *Config) complete() (kv.Layout, error) {
	if c.Model == nil {
		return kv.Layout{}, errors.New("engine: Config.Model is nil")
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
			return kv.Layout{}, fmt.Errorf("engine: Config.%s is %d: it must be positive, "+
				"or 0 for %d", n.name, *n.at, n.preset)
		}
		*n.at = cmp.Or(*n.at, n.preset)
	}
	if c.DiskBytes < 0 || c.TTL < 0 || c.SaveAfter < 0 || c.SaveWithin < 0 || c.MaxPerAgent < 0 ||
		c.Lease < 0 {
		return kv.Layout{}, errors.New("engine: Config's DiskBytes, TTL, SaveAfter, " +
			"SaveWithin, MaxPerAgent and Lease must not be negative")
	}
	if c.Bucket != nil && (c.Dir != "" || c.Files != nil) {
		return kv.Layout{}, errors.New("engine: Config has a Bucket, and Dir or Files besides")
	}
	_, system := cmp.Or[files.System](c.Files, files.OS{}).(files.OS)
	if system && c.Shared && c.Bucket == nil && !files.Locks {
		return kv.Layout{}, errors.New("engine: Config.Shared needs files that can be locked, " +
			"which this operating system does not have")
	}
	if c.Files == nil {
		c.Files = files.OS{}
	}
	c.DiskBytes = cmp.Or(c.DiskBytes, 16<<30)
	c.SaveAfter = cmp.Or(c.SaveAfter, time.Second)
	c.Lease = cmp.Or(c.Lease, 15*time.Second)
	c.KVBytes = cmp.Or(c.KVBytes, 256<<20)
	return kv.NewLayout(c.shape(), c.KVBytes, c.StepTokens)
}

func (c *Config) shape() kv.Shape {
	global, window := c.Model.KVBytesPerToken()
	return kv.Shape{
		BlockTokens:  c.BlockTokens,
		Window:       c.Model.Window(),
		GlobalBytes:  global,
		SlidingBytes: window,
	}
}

// FullContextBytes returns the least KVBytes with which one request can have the model's whole
// context.
func (c Config) FullContextBytes() (int64, error) {
	if _, err := c.complete(); err != nil {
		return 0, err
	}
	shape := c.shape()
	blocks := (c.Model.Context() - 1 + c.BlockTokens - 1) / c.BlockTokens
	each := int64(shape.GlobalBytes+shape.SlidingBytes) * int64(c.BlockTokens)
	low, high := each, each*int64(max(blocks, 1)) // of these, high is enough
	for low < high {
		middle := low + (high-low)/2
		l, err := kv.NewLayout(shape, middle, c.StepTokens)
		if err != nil {
			return 0, err
		}
		if l.Blocks >= blocks {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return high, nil
}
