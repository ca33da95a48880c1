package load

import "fmt"

// Cache is what the agents' caches hold when a load's clock starts. The words are those of the
// server: KV that is hot is in the pool, a restored one came back from disk, and a cold agent has
// none.
type Cache string

const (
	Cold     Cache = "cold"     // the server has seen none of the agents
	Hot      Cache = "hot"      // every agent has had its first turn, and its KV is in the pool
	Restored Cache = "restored" // the same, and then the server has forgotten what it had in memory
)

// ParseCache reads one of cold, hot and restored. warm is what hot was called before, and is
// accepted as such.
func ParseCache(s string) (Cache, error) {
	switch c := Cache(s); c {
	case Cold, Hot, Restored:
		return c, nil
	case "warm":
		return Hot, nil
	}
	return "", fmt.Errorf("%q is not a state of caches", s)
}

// UnmarshalText reads what an earlier version wrote as well; "" stays "".
func (c *Cache) UnmarshalText(text []byte) (err error) {
	if len(text) > 0 {
		*c, err = ParseCache(string(text))
	}
	return err
}

// Key is the word in benchmark names. Hot is warm there: the names of committed baselines do not
// change, or benchstat would not set new results beside them.
func (c Cache) Key() string {
	if c == Hot {
		return "warm"
	}
	return string(c)
}
