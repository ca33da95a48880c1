// Package ceiling computes how many tokens of each prompt of a load a prefix cache could have held
// at best: the hits of an endless cache that keeps all prompts and answers.
//
// Two prompts share their equal leading messages, and of the first messages that differ the equal
// leading bytes, in steps of [step]. The server's own counts convert bytes to tokens: each answered
// prompt tells the number of tokens up to its end, and tokens are taken to be spread evenly between
// such ends. A server caches whole blocks, so a partial block does not count, and it always has to
// compute the last token of a prompt.
//
// A prompt is in the cache from the time it was sent, an answer from the time it ended. No server
// can have more; a server that has not finished a prompt when the next one with the same beginning
// arrives may have less.
//
// Measured: the ceiling of coding-agent is 96.0 % hits. Loadstone's server on tiny reached 0.9996
// of it with a KV pool of 32 MiB, 0.999 with 14 and 11 MiB, 0.981 with 8 MiB, too small for the
// agents at work (2 of 208 requests were refused), and 0.81 with 6 MiB (12 refused). The ceiling of
// support-chat is 95.3 %; the server reached 0.997 of it with 32 and 14 MiB.
package ceiling

import (
	"hash/maphash"
	"slices"
	"sync"
)

// A Cache is an endless prefix cache. It is safe for concurrent use. Its methods take about 20 µs
// for every 10 kB that a prompt adds to the one that it continues.
type Cache struct {
	block int

	mu   sync.Mutex
	seed maphash.Seed

	// young has the nodes that were used last, at most keep of them; when it is full it becomes
	// old. So the cache is practically endless and takes bounded memory.
	young, old map[uint64]*node
	generation int // how often young has become old
}

// A node is the end of a part of a prompt. Its key is a hash of the prompt up to there.
type node struct {
	tokens float64 // number of tokens up to here; -1 if not known yet
}

const (
	step = 128     // bytes
	keep = 1 << 20 // nodes; about 100 MB of memory, for at least 128 MB of text
)

// New returns an empty cache with blocks of a number of tokens. With 0 or 1 it caches every token.
func New(block int) *Cache {
	return &Cache{block: max(block, 1), seed: maphash.MakeSeed(), young: map[uint64]*node{}}
}

// Block returns the number of tokens of a block.
func (c *Cache) Block() int { return c.block }

// A Part is a message of a prompt: its role and all its text.
type Part struct{ Role, Text string }

// A Prompt is a prompt that was sent. The nil Prompt belongs to no cache.
type Prompt struct {
	cache      *Cache
	parts      []Part
	messages   []int // messages[i] is the number of ends of messages 0 to i
	ends       []end
	shared     int // number of leading ends that were in the cache when the prompt was sent
	generation int // of the cache when the prompt was sent
}

// An end is a node with its place in a prompt.
type end struct {
	*node
	hash  uint64
	bytes int // offset in the prompt
}

// Sent adds a prompt that is sent now. from is an earlier prompt that it continues, or nil; Sent
// does not hash their common messages again.
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

// add adds the nodes of a message. there says whether all nodes before it were in the cache.
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

// mixed combines two hashes by the finalizer of SplitMix (Steele, Lea and Flood).
func mixed(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 + b
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// node returns the node of a hash, and whether the cache had it. It adds a node that is missing.
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

// Answered takes the tokens that the server counted for the prompt and its answer, or -1 where they
// are not known, and adds the answer to the cache. It returns the number of the prompt's tokens
// that an endless cache would have held, or 0 if that is not known.
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

// had returns the number of tokens of the beginning that was in the cache.
func (p *Prompt) had(prompt float64) float64 {
	if p.shared == 0 {
		return 0
	}
	e := p.ends[p.shared-1]
	if e.tokens < 0 { // the request that added it has no answer yet
		return prompt * float64(e.bytes) / float64(p.ends[len(p.ends)-1].bytes)
	}
	return min(e.tokens, prompt)
}

// spread sets the tokens of the ends from an index on, evenly between the end before and all.
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
