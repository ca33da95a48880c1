package server

import (
	"fmt"
	"sync"
	"time"
)

// limits holds back those who ask too often: all together, and each agent by itself. Anonymous requests are nobody's and
// meet the first limit only.
//
// Each limit is a token bucket: it has room for a minute's worth of requests and fills at an even rate.
type limits struct {
	all, agent int // requests a minute; 0: no limit

	mu     sync.Mutex
	global bucket
	agents map[string]*bucket
	sweep  int // size of agents at which full buckets, which are as good as none, are thrown away
}

// A bucket is as full as it was at a moment, and fills since.
type bucket struct {
	tokens float64
	at     time.Time // zero: full
}

func newLimits(all, agent int) *limits {
	return &limits{all: all, agent: agent, agents: make(map[string]*bucket), sweep: 1024}
}

// take counts one request of an agent, or refuses it and says when there will be room.
func (l *limits) take(agent string, now time.Time) error {
	if l.all == 0 && l.agent == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var own *bucket
	if agent != "" && l.agent > 0 {
		own = l.of(agent, now)
		if wait := own.wait(l.agent, now); wait > 0 {
			return tooMany(fmt.Sprintf("agent %s", agent), l.agent, wait)
		}
	}
	if l.all > 0 {
		if wait := l.global.wait(l.all, now); wait > 0 {
			return tooMany("this server", l.all, wait)
		}
		l.global.tokens--
	}
	if own != nil {
		own.tokens--
	}
	return nil
}

func (l *limits) of(agent string, now time.Time) *bucket {
	if b := l.agents[agent]; b != nil {
		return b
	}
	if len(l.agents) >= l.sweep {
		for name, b := range l.agents {
			if b.fill(l.agent, now); b.tokens == float64(l.agent) {
				delete(l.agents, name)
			}
		}
		l.sweep = max(1024, 2*len(l.agents))
	}
	b := new(bucket)
	l.agents[agent] = b
	return b
}

func (b *bucket) fill(perMinute int, now time.Time) {
	full := float64(perMinute)
	if b.at.IsZero() {
		b.tokens = full
	} else {
		b.tokens = min(full, b.tokens+now.Sub(b.at).Minutes()*full)
	}
	b.at = now
}

// wait is how long until the bucket has a token, 0 when it has one.
func (b *bucket) wait(perMinute int, now time.Time) time.Duration {
	if b.fill(perMinute, now); b.tokens >= 1 {
		return 0
	}
	return max(1, time.Duration((1-b.tokens)/float64(perMinute)*float64(time.Minute)))
}

func tooMany(who string, perMinute int, wait time.Duration) error {
	return &apiError{status: 429, kind: "rate_limit_error", code: "rate_limit_exceeded", retry: wait,
		message: fmt.Sprintf("%s takes %d requests a minute; retry in %s s", who, perMinute, retryAfter(wait))}
}
