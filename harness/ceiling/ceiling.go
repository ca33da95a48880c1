// Package ceiling tells how much of each prompt of a load a server could have had in its cache at
// best: what a cache without an end would have, that keeps all prompts and answers.
//
// The prompts are those that were sent. Two of them share what their messages share from the first
// on, and of the first messages that differ the bytes that are alike, in steps of [step]. What that
// comes to in tokens is known from the server's own counts: a prompt that was answered says where
// its tokens end, and what lies between such ends is taken to be spread evenly. A server keeps whole
// blocks, so a block that has begun is not counted, and the last token of a prompt has always to be
// computed.
//
// A prompt is in the cache from when it was sent, an answer from when it had ended: no server can
// have more. One that has not finished a prompt when the next one with the same beginning comes may
// have less.
//
// What it shows: of the hits of coding-agent's ceiling, 96.0 %, Loadstone's server on tiny reached
// 0.9996 with a KV pool of 32 MiB, 0.999 with 14 and 11, 0.981 with 8, in which the agents at work do
// not fit (2 of 208 requests were refused), and 0.81 with 6 (12 refused). Of support-chat's, 95.3 %,
// it reached 0.997 with 32 and 14 MiB.
package ceiling

import (
	"hash/maphash"
	"slices"
	"sync"
)

// A Cache is one without an end. Its methods may be called at once. They take about 20 µs for every
// 10 kB that a prompt has beyond the one that it goes on from.
type Cache struct {
	block int

	mu   sync.Mutex
	seed maphash.Seed

	// What was asked for in the last keep nodes or more: those of young, and, of those that were not
	// asked for since, of old. So the cache is as good as endless, and takes bounded memory.
	young, old map[uint64]*node
	generation int // how often the young have become old
}

// A node is the end of a part of a prompt, by a hash of all before it and in it.
type node struct {
	tokens float64 // up to here; -1: not known yet
}

const (
	step = 128     // bytes
	keep = 1 << 20 // nodes, some 100 MB in all, and 128 MB of text at least
)

// New makes an empty cache with blocks of so many tokens; 0 or 1: it keeps every token.
func New(block int) *Cache {
	return &Cache{block: max(block, 1), seed: maphash.MakeSeed(), young: map[uint64]*node{}}
}

// Block is the tokens of a block.
func (c *Cache) Block() int { return c.block }

// A Part is a message of a prompt, its role and all that is said in it.
type Part struct{ Role, Text string }

// A Prompt is a prompt that was sent. The nil Prompt is of no cache.
type Prompt struct {
	cache      *Cache
	parts      []Part
	messages   []int // ends up to each message's
	ends       []end
	shared     int // ends up to here were there when it was sent
	generation int
}

// An end is a node with its place in the prompt.
type end struct {
	*node
	hash  uint64
	bytes int
}

// Sent takes a prompt that is sent now. What it has in common with from, an earlier prompt that it
// may go on from, or nil, is not looked at again.
func (c *Cache) Sent(parts []Part, from *Prompt) *Prompt {
	if c == nil {
		return nil
	}
	p := &Prompt{cache: c, parts: parts}
	c.mu.Lock()
	defer c.mu.Unlock()
	if from != nil && from.generation == c.generation {
		alike := 0
		for alike < min(len(parts), len(from.parts)) && parts[alike] == from.parts[alike] {
			alike++
		}
		if alike > 0 {
			p.messages = slices.Clone(from.messages[:alike])
			p.shared = p.messages[alike-1]
			p.ends = slices.Clone(from.ends[:p.shared])
		}
	}
	there := true
	for _, part := range parts[len(p.messages):] {
		there = p.add(part, there)
		p.messages = append(p.messages, len(p.ends))
	}
	p.generation = c.generation
	return p
}

// add adds the nodes of a message. there tells whether all before it were in the cache.
func (p *Prompt) add(part Part, there bool) bool {
	var e end
	if n := len(p.ends); n > 0 {
		e = p.ends[n-1]
	}
	e.hash = mixed(e.hash, p.cache.hash(part.Role))
	e.bytes += len(part.Role) + 1
	for text := part.Text; ; {
		n := min(step, len(text))
		e.hash = mixed(e.hash, p.cache.hash(text[:n]))
		text, e.bytes = text[n:], e.bytes+n
		if len(text) == 0 {
			e.hash++ // a message that ends here is not one that goes on
		}
		var known bool
		e.node, known = p.cache.node(e.hash)
		p.ends = append(p.ends, e)
		if there = there && known; there {
			p.shared = len(p.ends)
		}
		if len(text) == 0 {
			return there
		}
	}
}

func (c *Cache) hash(text string) uint64 { return maphash.String(c.seed, text) }

// mixed is a hash of two (Steele, Lea and Flood's finalizer of SplitMix).
func mixed(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 + b
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// node is the node of a hash, and whether it was there.
func (c *Cache) node(hash uint64) (n *node, known bool) {
	if n, known = c.young[hash]; known {
		return n, true
	}
	if n, known = c.old[hash]; !known {
		n = &node{tokens: -1}
	}
	if len(c.young) >= keep {
		c.young, c.old = map[uint64]*node{}, c.young
		c.generation++
	}
	c.young[hash] = n
	return n, known
}

// Answered says what the server counted: the tokens of the prompt and of its answer, whose text is
// now in the cache as well; -1 not known. It returns the tokens of the prompt that an endless cache
// would have had, 0 where that cannot be told.
func (p *Prompt) Answered(prompt, output int, answer Part) int {
	if p == nil || prompt <= 0 || len(p.ends) == 0 {
		return 0
	}
	c := p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	had := p.had(float64(prompt))
	p.spread(p.shared, float64(prompt))
	if output > 0 {
		at := len(p.ends)
		p.add(answer, false)
		p.parts, p.messages = append(slices.Clip(p.parts), answer), append(p.messages, len(p.ends))
		p.spread(at, float64(prompt+output-1)) // the last token of an answer is never read
	}
	return min(int(had), prompt-1) / c.block * c.block
}

// had is the tokens of the beginning that was there.
func (p *Prompt) had(prompt float64) float64 {
	if p.shared == 0 {
		return 0
	}
	e := p.ends[p.shared-1]
	if e.tokens < 0 { // the request for it has no answer yet
		return prompt * float64(e.bytes) / float64(p.ends[len(p.ends)-1].bytes)
	}
	return min(e.tokens, prompt)
}

// spread gives the ends from one on their tokens, evenly between those before and all.
func (p *Prompt) spread(from int, all float64) {
	tokens, bytes := 0.0, 0
	if from > 0 && p.ends[from-1].tokens >= 0 {
		tokens, bytes = min(p.ends[from-1].tokens, all), p.ends[from-1].bytes
	}
	last := p.ends[len(p.ends)-1].bytes
	for _, e := range p.ends[from:] {
		if e.tokens < 0 {
			e.tokens = tokens + (all-tokens)*float64(e.bytes-bytes)/float64(last-bytes)
		}
	}
}
