package engine

import (
	"math"
	"time"
)

// A pace knows what steps have cost lately, and says from that how many prompt tokens the next
// one may compute.
//
// While nothing decodes, a step takes all it can hold, because a token costs less in a large
// step. But each stream that decodes waits for the prompts in its step. So beside streams a
// prompt gets as much time as they do, and a stream's tokens come at half the pace while another
// request prefills. Each further prompt gets as much again: of twenty that come together, the
// first few would otherwise hold up the rest, which then decode in steps that could have had all
// of them.
//
// Most steps take less than twice what they take without prompts. What that leaves of the prompts'
// time goes into one long step after every quietSteps others. So the 95th percentile of the time
// between a stream's tokens is at most doubled, and no token comes more than about maxLong late.
// Much of what a few prompt tokens cost comes from having prompts in a step at all, such as reading
// the keys and values of a long one. Where that takes a good part of a usual step's share, prompts
// wait for the long step, and are in the usual ones only for what they will be owed by then and the
// long one cannot hold.
//
// What a prompt token costs depends on the model, the machine, the history before it and how many
// are computed at once, which no formula knows and each step shows. The cost of a step without
// prompts is measured in one, separately for each number of streams, and again after every few
// steps with prompts.
type pace struct {
	clock func() time.Time

	max        int             // prompt tokens that a step can hold
	allowed    int             // how many the last one could have
	decode     []time.Duration // by number of streams: a step without prompts; 0: not known
	token      time.Duration   // what each token of a prompt adds to that
	bulk       time.Duration   // the same in large steps without streams; 0: not known
	cost       trend           // what a number of prompt tokens adds
	mixed      int             // steps with both since the last one without prompts
	owed       time.Duration   // by how much prompts have had less than the streams beside them
	quiet      int             // steps beside prompts since the last long one
	step       time.Duration   // any step
	tried      int             // steps of several principals
	promptStep bool            // the last step was for prompts, where these alternate with streams
}

const (
	maxMixed = 16 // steps with both before one without prompts is due
	minBulk  = 64 // tokens of a step that shows what one costs in a large step

	// One step in quietSteps + 1 is long. With those that are slow for other reasons that is less
	// than one in twenty.
	quietSteps = 24
	// maxLong is what prompts may add to a long step: less than the time in which people read a
	// token. On a machine where a long step would hold little more than what having prompts at all
	// takes, it is dear times that.
	maxLong = 150 * time.Millisecond
	// A usual step's share is not worth its cost if more than one part in dear is for having
	// prompts at all.
	dear = 5

	retryStreams = 256 // steps after which a number of streams that was too dear is tried again
)

func newPace(maxBatch, stepTokens int) pace {
	return pace{clock: time.Now, max: stepTokens, decode: make([]time.Duration, maxBatch+1)}
}

// limits returns how many prompt tokens the next step may compute, how many sequences may decode in
// it, and how much time it has to spare for drafts.
//
// Where several principals run something, the step is to take no longer than if one of them had
// nothing but one more running request (see bound). So all prompts count as one, and a principal's
// further streams join as long as they fit into the same time. Where prompts do not fit beside
// the streams of their principals, those take turns with them. But a principal that has a prompt
// and no stream gets as much time as others' streams, and for the end of its prompt half as much
// again: what it waits for is its first token.
//
// Drafts may take what all that leaves of the bound, so that one principal's drafts cost the others
// no more than one more request of its would. A principal alone has no bound: its drafts pay for
// themselves (see draftPace.limits), and its prompts get as much time as its streams with them. A
// step that is to show what streams alone cost has none.
func (p *pace) limits(d demand) (prompts, rows int, spare time.Duration) {
	if !d.several || d.decoding == 0 {
		var shows bool
		prompts, shows = p.prompts(d.decoding, d.prefilling)
		if !shows {
			spare = math.MaxInt64
		}
		return prompts, d.decoding, spare
	}
	p.owed, p.quiet = 0, 0
	bound := p.bound(d)
	p.tried++
	retry := p.tried%retryStreams == 0
	if retry {
		bound *= 2
		d.prefilling = 0 // its cost is noted only without prompts
	}
	p.allowed, rows = 0, p.streams(d, bound)
	if d.prefilling == 0 {
		if spare = bound - p.decode[rows]; retry || p.decode[rows] == 0 {
			spare = 0
		}
		return 0, rows, max(spare, 0)
	}
	if beside := p.streams(d, (bound+p.decode[d.besidePrompt])/2); d.starts {
		rows, bound = beside, 2*p.decode[beside]+p.token // rounded up to whole tokens
	} else if bound-p.decode[beside] >= p.prompt() {
		rows = beside
	} else if p.promptStep = !p.promptStep; p.promptStep {
		rows = max(d.besidePrompt, d.decoding-d.both)
	} else {
		return 0, rows, 0
	}
	p.allowed = p.within(rows, bound-p.decode[rows], d.starts)
	if d.starts && d.startTokens <= p.allowed*3/2 {
		p.allowed = min(d.startTokens, p.max)
	}
	return p.allowed, rows, 0
}

// bound returns how long a step of several principals may take: as long as one in which each has as
// many streams as the one that has fewest, or in which one of them has a prompt instead.
func (p *pace) bound(d demand) time.Duration {
	return max(p.decode[d.fair], p.decode[d.besidePrompt]*7/4)
}

// prompt returns the least time in which a prompt gets on beside streams; see within.
func (p *pace) prompt() time.Duration {
	return max(p.token, time.Duration(p.cost.fixed()*3/2))
}

// streams returns how many sequences may decode: the fair number, and as many more as take no
// longer than bound. What a number of streams costs is known from the steps that had so many; one
// that is not known yet is tried, one more at a time, and one that was too dear is tried again
// every so many steps.
func (p *pace) streams(d demand, bound time.Duration) int {
	n := d.fair
	for p.decode[n] > 0 && n < d.decoding && p.decode[n+1] <= bound {
		n++
	}
	return n
}

// prompts returns how many prompt tokens the next step may compute when so many sequences decode
// and so many have prompts to compute; and whether it is to show what streams alone cost.
func (p *pace) prompts(decoding, prefilling int) (n int, shows bool) {
	if decoding > 0 && prefilling > 0 {
		p.allowed, shows = p.beside(decoding, prefilling)
		return p.allowed, shows
	}
	p.owed, p.quiet = 0, 0
	p.allowed = p.max
	if decoding > 0 { // for prompts that come in this step, with nothing before them
		p.cost = trend{}
		p.allowed = p.within(decoding, besideOf(p.decode[decoding], 1), false)
	}
	return p.allowed, false
}

// beside is prompts where there are both.
func (p *pace) beside(decoding, prefilling int) (n int, shows bool) {
	alone := p.decode[decoding]
	if alone == 0 || p.mixed >= maxMixed {
		return 0, true
	}
	fixed := time.Duration(p.cost.fixed())
	longest, room := max(maxLong, dear*fixed), besideOf(alone, prefilling)
	p.owed = min(max(p.owed, 0)+alone*time.Duration(prefilling), 2*longest)
	if p.quiet++; p.quiet*prefilling > quietSteps && p.owed > room {
		p.quiet = 0
		return max(p.fit(min(p.owed, longest)), 1), false
	}
	n = p.within(decoding, room, false)
	if dear*fixed <= room {
		return n, false
	}
	// What will be owed by the long step it may have no more of than its longest.
	more := alone * time.Duration(max(quietSteps+1-p.quiet*prefilling, 0))
	if p.owed+more < longest+room {
		return 0, false
	}
	return min(n, p.fit(room)), false
}

// fit returns how many prompt tokens take so long in a step, 0 if not even one does.
func (p *pace) fit(room time.Duration) int {
	n := float64(room) / float64(max(p.token, 1))
	if p.cost.slope > 0 {
		n = (float64(room) - p.cost.fixed()) / p.cost.slope
	}
	return int(min(max(n, 0), float64(p.max)))
}

// besideOf returns how much time so many prompts get beside streams that take so long.
func besideOf(streams time.Duration, prefilling int) time.Duration {
	// Steps vary in time, and the bound is on the slow ones. The rest goes into a long step.
	return streams * 4 / 5 * time.Duration(max(prefilling, 1))
}

// within returns how many prompt tokens fit into a time, beside so many streams. Where having
// prompts at all takes most of it, keeping to it would starve them: then their tokens get half as
// much time as that. If a principal waits for its first token, a step without prompts is put off.
func (p *pace) within(decoding int, room time.Duration, starts bool) int {
	mixed := maxMixed
	if starts {
		mixed *= 4
	}
	if p.decode[decoding] == 0 || p.mixed >= mixed {
		return 0
	}
	atLeast := max(1, p.cost.fixed()/max(p.cost.slope, 1)/2)
	return int(min(max(float64(room)/float64(max(p.token, 1)), atLeast), float64(p.max)))
}

// took notes how long a step took in which so many sequences decoded and so many prompt tokens were
// computed.
func (p *pace) took(decoding, prompts int, d time.Duration) {
	p.tookStep(d)
	switch {
	case decoding == 0:
		p.mixed = 0
		if each := d / time.Duration(prompts); p.bulk == 0 || prompts >= minBulk {
			p.bulk = each
			p.token = max(p.token, each)
		}
	case prompts == 0:
		p.mixed = 0
		if p.decode[decoding] == 0 {
			p.decode[decoding] = d
		}
		p.decode[decoding] += (d - p.decode[decoding]) / 4
	default:
		p.mixed++
		p.owed -= max(d-p.decode[decoding], 0)
		if 2*prompts < p.allowed { // a prompt's end, which does not show what a usual step costs
			return
		}
		// Up fast and down slowly: each stream notices one step that is too long, and nothing
		// notices some that are too short. But not up by more than half, because something else
		// on the machine may have held the step up: that would starve prompts for many steps.
		more := max(d-p.decode[decoding], 0)
		p.cost.add(float64(prompts), float64(more), float64(p.bulk))
		if each := more / time.Duration(prompts); each > p.token {
			p.token = min(p.token+(each-p.token)/2, max(p.token*3/2, p.bulk))
		} else {
			p.token -= (p.token - each) / 8
		}
	}
}

// tookStep notes how long a step took, of any kind.
func (p *pace) tookStep(d time.Duration) { p.step += (d - p.step) / 8 }

// A trend is a line fitted to recent points, y = fixed + slope x, by least squares with weights
// that fall by an eighth with each newer point.
type trend struct {
	x, y, xx, xy float64 // means of x and y, variance of x, covariance
	slope        float64
}

// add takes in a point. The slope is at least minSlope; where x hardly varies it stays what it was.
func (l *trend) add(x, y, minSlope float64) {
	if l.slope == 0 {
		*l = trend{x: x, y: y, slope: max(minSlope, 1)}
	}
	dx, dy := x-l.x, y-l.y
	l.x, l.y = l.x+dx/8, l.y+dy/8
	l.xx, l.xy = (l.xx+dx*dx/8)*7/8, (l.xy+dx*dy/8)*7/8
	l.slope = max((l.xy+l.slope)/(l.xx+1), minSlope, 1)
}

// fixed returns y at x = 0, but not less than 0.
func (l *trend) fixed() float64 { return max(l.y-l.slope*l.x, 0) }
