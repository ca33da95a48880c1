package server

import (
	"fmt"
	"sync"
	"time"
)

// limits holds back clients that ask too often: all of them together, each principal, and each
// agent by itself. An anonymous request belongs to no agent and meets the other limits only.
//
// Each limit is a token bucket, which has room for a minute's worth of requests and fills at an
// even rate.
type limits struct {
	all, agent int // requests a minute; 0: no limit

	mu     sync.Mutex
	global bucket
	agents map[agentKey]*bucket

	principals map[string]*bucket // of those whose share has a rate: as many as there are keys
	// sweep is the size of agents at which full buckets, which are as good as none, are removed.
	sweep int
}

// An agentKey names an agent: the same name under two principals is two agents.
type agentKey struct{ principal, name string }

// A bucket has the tokens that it had at a moment, and fills since then.
type bucket struct {
	tokens float64
	at     time.Time // zero: full
}

func newLimits(all, agent int) *limits {
	return &limits{all: all, agent: agent, agents: make(map[agentKey]*bucket),
		principals: make(map[string]*bucket), sweep: 1024}
}

// take counts one request of an agent, or refuses it with an error that says when there will be
// room. rate is how many the principal may send in a minute, 0 any number.
func (l *limits) take(principal string, rate int, agent string, now time.Time) error {
	if l.all == 0 && l.agent == 0 && rate == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var ofAgent *bucket
	if agent != "" && l.agent > 0 {
		ofAgent = l.bucket(agentKey{principal, agent}, now)
		if wait := ofAgent.wait(l.agent, now); wait > 0 {
			return tooMany(fmt.Sprintf("agent %s", agent), l.agent, wait)
		}
	}
	var ofPrincipal *bucket
	if rate > 0 {
		if ofPrincipal = l.principals[principal]; ofPrincipal == nil {
			ofPrincipal = new(bucket)
			l.principals[principal] = ofPrincipal
		}
		if wait := ofPrincipal.wait(rate, now); wait > 0 {
			return tooMany("this principal", rate, wait)
		}
	}
	if l.all > 0 {
		if wait := l.global.wait(l.all, now); wait > 0 {
			return tooMany("this server", l.all, wait)
		}
		l.global.tokens--
	}
	if ofPrincipal != nil {
		ofPrincipal.tokens--
	}
	if ofAgent != nil {
		ofAgent.tokens--
	}
	return nil
}

// bucket returns an agent's bucket, which it makes where there is none.
func (l *limits) bucket(agent agentKey, now time.Time) *bucket {
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

// wait returns how long it takes until the bucket has a token, 0 when it has one.
func (b *bucket) wait(perMinute int, now time.Time) time.Duration {
	if b.fill(perMinute, now); b.tokens >= 1 {
		return 0
	}
	return max(1, time.Duration((1-b.tokens)/float64(perMinute)*float64(time.Minute)))
}

func tooMany(who string, perMinute int, wait time.Duration) error {
	return &apiError{
		status: 429, kind: kindRateLimit, code: "rate_limit_exceeded", retry: wait,
		message: fmt.Sprintf("%s takes %d requests a minute; retry in %s s",
			who, perMinute, retryAfter(wait)),
	}
}
