package objects

import "sync"

// A cache keeps the contents of chunks in RAM. When it is full, chunks go that were asked for no
// more than once, and of several any: those that many files have in common stay, in whatever order
// the files are read.
type cache struct {
	limit int64

	mu          sync.Mutex
	bytes       int64
	once, often map[string][]byte // by the object's name
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, once: make(map[string][]byte), often: make(map[string][]byte)}
}

// get returns the content of a chunk, nil if it is not there. It must not be changed.
func (c *cache) get(object string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if content := c.once[object]; content != nil {
		delete(c.once, object)
		c.often[object] = content
	}
	return c.often[object]
}

func (c *cache) put(object string, content []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(len(content))
	if c.once[object] != nil || c.often[object] != nil || size > c.limit {
		return
	}
	for _, from := range []map[string][]byte{c.once, c.often} {
		for name, old := range from {
			if c.bytes+size <= c.limit {
				break
			}
			delete(from, name)
			c.bytes -= int64(len(old))
		}
	}
	c.once[object] = content
	c.bytes += size
}
