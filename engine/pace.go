package engine

import "time"

// A pace is what steps have cost lately, and says from that how many prompt tokens the next one may compute.
//
// While nobody decodes a step takes all it can hold, for a large one costs less a token. But whoever decodes waits for
// the prompts in his step. So beside those who decode a prompt gets as much time as they do, and a stream's tokens come at
// half the pace while another request prefills. Each further prompt gets as much again: of twenty that come together the
// first few would else hold up the rest, who then decode in steps that could have had all of them.
//
// What a token of a prompt costs depends on the model, the machine, the history before it and how many are computed at
// once, which no formula knows and each step shows. What a step without prompts costs is measured in one, for each
// number of streams by itself, and again after every few steps with prompts.
//
// Some of it is paid for having prompts at all, such as reading a long one's keys and values. Where that is most of the
// streams' share, keeping to it would starve the prompt: then its tokens get half as much time as that.
type pace struct {
	clock func() time.Time

	most    int             // prompt tokens that a step can hold
	allowed int             // and how many the last one was
	decode  []time.Duration // by the number of those who decode: a step without prompts; 0: not known
	token   time.Duration   // what each token of a prompt adds to that
	bulk    time.Duration   // the same in large steps without streams; 0: not known
	cost    trend           // what some tokens of a prompt add
	mixed   int             // steps with both since the last one without prompts
	step    time.Duration   // any step
}

const (
	mostMixed = 16 // steps with both before one without prompts is due
	leastBulk = 64 // tokens that say what one costs in a large step
)

func newPace(maxBatch, stepTokens int) pace {
	return pace{clock: time.Now, most: stepTokens, decode: make([]time.Duration, maxBatch+1)}
}

// prompts is the argument of the next Plan, when so many sequences decode and so many have prompts to compute.
func (p *pace) prompts(decoding, prefilling int) int {
	p.allowed = p.most
	if decoding > 0 {
		p.allowed = p.beside(decoding, prefilling)
	}
	return p.allowed
}

func (p *pace) beside(decoding, prefilling int) int {
	alone := p.decode[decoding]
	if alone == 0 || p.mixed >= mostMixed {
		return 0
	}
	room := alone * 3 / 4 // no two steps take the same time, and the bound is on the slow ones
	room *= time.Duration(max(prefilling, 1))
	least := max(1, p.cost.fixed()/max(p.cost.slope, 1)/2)
	return int(min(max(float64(room)/float64(max(p.token, 1)), least), float64(p.most)))
}

// took notes what a step took in which so many sequences decoded and so many prompt tokens were computed.
func (p *pace) took(decoding, prompts int, d time.Duration) {
	p.step += (d - p.step) / 8
	switch {
	case decoding == 0:
		p.mixed = 0
		if each := d / time.Duration(prompts); p.bulk == 0 || prompts >= leastBulk {
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
		if 2*prompts < p.allowed { // the end of a prompt: what a step of the usual size costs, it does not say
			return
		}
		// Up fast and down slowly: one step that is too long is seen by every stream, some that are too short by nobody.
		more := max(d-p.decode[decoding], 0)
		p.cost.add(float64(prompts), float64(more), float64(p.bulk))
		if each := more / time.Duration(prompts); each > p.token {
			p.token += (each - p.token) / 2
		} else {
			p.token -= (p.token - each) / 8
		}
	}
}

// A trend is a line fitted to what was seen lately: y = fixed + slope x.
type trend struct {
	x, y, xx, xy float64 // means, variance and covariance, older ones weighing less
	slope        float64
}

// add takes in a point. The slope is at least so much; where x hardly varies it stays what it was.
func (l *trend) add(x, y, least float64) {
	if l.slope == 0 {
		*l = trend{x: x, y: y, slope: max(least, 1)}
	}
	dx, dy := x-l.x, y-l.y
	l.x, l.y = l.x+dx/8, l.y+dy/8
	l.xx, l.xy = (l.xx+dx*dx/8)*7/8, (l.xy+dx*dy/8)*7/8
	l.slope = max((l.xy+l.slope)/(l.xx+1), least, 1)
}

// fixed is y at x = 0, and not below 0.
func (l *trend) fixed() float64 { return max(l.y-l.slope*l.x, 0) }
