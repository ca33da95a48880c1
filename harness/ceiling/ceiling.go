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

// A Part is a message of a prompt: its role and all its text. Calls and CallID are those of tools;
// "" for none.
type Part struct{ Role, Text, Calls, CallID string }

// A Prompt is a prompt that was sent. The nil Prompt belongs to no cache. A prompt that continues
// another one has only its own messages: with a copy of all of them, a session of a hundred calls
// would take as many times the memory, and copying was a fifth of the client's time.
type Prompt struct {
	cache      *Cache
	before     *Prompt // the prompt that it continues; nil if there is none
	kept       int     // number of messages of before
	keptEnds   int     // number of ends of these messages
	parts      []Part  // own messages
	messages   []int   // messages[i] is the number of ends up to the end of own message i
	ends       []end   // own ends
	shared     int     // number of leading ends that were in the cache when the prompt was sent
	generation int     // of the cache when the prompt was sent
}

// An end is a node with its place in a prompt.
type end struct {
	*node
	hash  uint64
	bytes int // offset in the prompt
}

// Sent adds a prompt of n messages that is sent now; part returns each of them. from is an earlier
// prompt that it continues, or nil; Sent does not hash their common messages again.
func (c *Cache) Sent(n int, part func(i int) Part, from *Prompt) *Prompt {
	if c == nil {
		return nil
	}
	p := &Prompt{cache: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if from != nil && from.generation == c.generation {
		p.continues(from, from.alike(n, part))
	}
	there := true
	for i := p.kept; i < n; i++ {
		one := part(i)
		there = p.add(&one, there)
		p.parts, p.messages = append(p.parts, one), append(p.messages, p.count())
	}
	p.generation = c.generation
	return p
}

// alike returns the number of leading messages that the prompt has in common with n others.
func (p *Prompt) alike(n int, part func(i int) Part) int {
	if p.before != nil {
		if same := p.before.alike(min(n, p.kept), part); same < p.kept {
			return same
		}
	}
	i := 0
	for i < len(p.parts) && p.kept+i < n && p.parts[i] == part(p.kept+i) {
		i++
	}
	return p.kept + i
}

// continues makes the prompt begin with the first messages of another one.
func (p *Prompt) continues(from *Prompt, messages int) {
	for from != nil && messages <= from.kept {
		from = from.before
	}
	if from == nil {
		return
	}
	p.before, p.kept = from, messages
	p.keptEnds = from.messages[messages-from.kept-1]
	p.shared = p.keptEnds
}

// count returns the number of ends.
func (p *Prompt) count() int { return p.keptEnds + len(p.ends) }

// end returns an end, counted from 0.
func (p *Prompt) end(i int) *end {
	for i < p.keptEnds {
		p = p.before
	}
	return &p.ends[i-p.keptEnds]
}

// add adds the nodes of a message. there says whether all nodes before it were in the cache.
func (p *Prompt) add(part *Part, there bool) bool {
	var e end
	if n := p.count(); n > 0 {
		e = *p.end(n - 1)
	}
	e.hash = mixed(e.hash, p.cache.hash(part.Role))
	e.bytes += len(part.Role) + 1
	for i, text := range []string{part.Text, part.Calls, part.CallID} {
		if i == 0 || text != "" {
			there = p.addText(&e, text, i, there)
		}
	}
	return there
}

// addText adds the nodes of a text of a message, which is its Text, Calls or CallID, after the end
// e.
func (p *Prompt) addText(e *end, text string, which int, there bool) bool {
	for {
		n := min(step, len(text))
		e.hash = mixed(e.hash, p.cache.hash(text[:n]))
		text, e.bytes = text[n:], e.bytes+n
		if len(text) == 0 {
			e.hash += uint64(1 + which) // a text that ends here is not one that goes on
		}
		var known bool
		e.node, known = p.cache.node(e.hash)
		p.ends = append(p.ends, *e)
		if there = there && known; there {
			p.shared = p.count()
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
	if p == nil || prompt <= 0 || p.count() == 0 {
		return 0
	}
	c := p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	had := p.had(float64(prompt))
	p.spread(p.shared, float64(prompt))
	if output > 0 {
		at := p.count()
		p.add(&answer, false)
		p.parts, p.messages = append(p.parts, answer), append(p.messages, p.count())
		p.spread(at, float64(prompt+output-1)) // the last token of an answer is never read
	}
	return min(int(had), prompt-1) / c.block * c.block
}

// had returns the number of tokens of the beginning that was in the cache.
func (p *Prompt) had(prompt float64) float64 {
	if p.shared == 0 {
		return 0
	}
	e := p.end(p.shared - 1)
	if e.tokens < 0 { // the request that added it has no answer yet
		return prompt * float64(e.bytes) / float64(p.end(p.count()-1).bytes)
	}
	return min(e.tokens, prompt)
}

// spread sets the tokens of the ends from an index on, evenly between the end before and all.
func (p *Prompt) spread(from int, all float64) {
	tokens, bytes := 0.0, 0
	if from > 0 {
		if e := p.end(from - 1); e.tokens >= 0 {
			tokens, bytes = min(e.tokens, all), e.bytes
		}
	}
	last := p.end(p.count() - 1).bytes
	for i := from; i < p.count(); i++ {
		if e := p.end(i); e.tokens < 0 {
			e.tokens = tokens + (all-tokens)*float64(e.bytes-bytes)/float64(last-bytes)
		}
	}
}
