package harness

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"loadstone/harness/client"
	"loadstone/harness/record"
)

// A SameServerError says that the two targets of a duel are one server under two names. Its cache
// would know the second side's prompts from the first's.
type SameServerError struct {
	URLs [2]string
	Why  string
}

func (e *SameServerError) Error() string {
	return fmt.Sprintf("%s and %s are one server: %s", e.URLs[0], e.URLs[1], e.Why)
}

// twoServers finds out a server that has two names. It returns a note where nothing shows that
// there are two: no usage with cached_tokens, no counters.
//
// That a process has two ports, or two servers one start time, says nothing. What counts is where
// connections lead, whether one side has in its cache what only the other was asked, and whether
// one counts what only the other was asked. Names are not compared: 127.0.0.1 and another address
// of this machine may lead to one server, and 127.0.0.1 and ::1 to two.
func twoServers(ctx context.Context, a, b *client.Client) (note string, err error) {
	same := func(why string, args ...any) error {
		return &SameServerError{[2]string{a.URL, b.URL}, fmt.Sprintf(why, args...)}
	}
	if to := leadsTo(ctx, a.URL); to != "" && to == leadsTo(ctx, b.URL) {
		return "", same("connections to both lead to %s", to)
	}
	const questions = 3
	now := time.Now().UnixNano()
	control := askNew(ctx, b, now, 0) // what any prompt finds in the cache, such as the template
	before := answeredBy(ctx, b)
	for i := range int64(questions) {
		if r := askNew(ctx, a, now, 1+i); r.Outcome != record.OK {
			return "", ctx.Err() // the measurement itself will say what is wrong
		}
	}
	after := answeredBy(ctx, b)
	known := askNew(ctx, b, now, 1)
	switch {
	case control.Outcome != record.OK || known.Outcome != record.OK:
		return "", ctx.Err()
	case control.CachedTokens >= 0 && known.CachedTokens-control.CachedTokens > known.PromptTokens/4:
		return "", same("the second had %d of %d tokens of a prompt in its cache that only the first "+
			"was asked", known.CachedTokens, known.PromptTokens)
	case before >= 0 && after-before == questions:
		return "", same("the second counted %d requests that only the first was sent", questions)
	case control.CachedTokens < 0 && before < 0:
		note = fmt.Sprintf("that %s and %s are two servers is unproven: the second tells no "+
			"cached_tokens, and counts no requests in /metrics", a.URL, b.URL)
	}
	return note, ctx.Err()
}

// askNew asks a server a question that it has not seen: the i-th of those that a time stands for.
func askNew(ctx context.Context, c *client.Client, now, i int64) record.Record {
	name := fmt.Sprintf("two-servers-%x-%d", now, i)
	p := NewConversation(name, uint64(now)+uint64(i)).Ask(warmUpWords[1], 4)
	p.Warmup = true
	if r := c.Ask(ctx, c.Since(), p); r.Outcome != record.OK || r.PromptTokens >= 0 {
		return r
	}
	p.NoStream = true // some servers count the tokens of answers in one piece alone
	return c.Ask(ctx, c.Since(), p)
}

// answeredBy returns how many requests a server says that it has answered, -1 if it does not say.
// It may count a request after its last byte, so its count is waited for until it rests.
func answeredBy(ctx context.Context, c *client.Client) float64 {
	last := -1.0
	for range 50 {
		m, _ := c.Scrape(ctx) // a nil Metrics knows no value
		now, ok := m.Account()[record.AnsweredRequests]
		if !ok || now == last {
			return last
		}
		last = now
		if !c.Await(ctx, c.Since()+20*time.Millisecond) {
			break
		}
	}
	return -1
}

// leadsTo is the address that a connection to a server has at its other end, with the path of the
// server there; "" where there is none, or where a program at that address may be many servers, by
// the names that they are called by.
func leadsTo(ctx context.Context, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() != "localhost" && net.ParseIP(u.Hostname()) == nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return ""
	}
	defer conn.Close()
	return conn.RemoteAddr().String() + u.Path
}
