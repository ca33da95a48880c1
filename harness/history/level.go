package history

import (
	"math"
	"slices"
)

// level makes the points of a series from its edges: each commit's level is that of the reference
// and the edges on the way to it, by the shortest way, and the mean of several ways that are as
// short. It returns the edges that nothing joins to the reference.
//
// With one base for all heads a way is one edge, and the errors of two commits have nothing in
// common. Where each head was measured beside the one before it, a way has all edges before it, and
// the levels drift apart as a random walk does. So each point knows the edges that it is made of,
// and [Series.contrast] how much of each is in a difference of two points.
func (s *Series) level(edges []edge, commits int) (lost []edge) {
	known := make([]*Point, commits)
	reference := s.reference(edges)
	known[reference] = &Point{Commit: reference, weight: make([]float64, len(edges))}
	for _, e := range edges {
		if p := known[reference]; e.base == reference && p.Value == "" {
			p.Value, p.From = e.baseValue, e.from
		}
	}
	for {
		next := map[int][]Point{}
		for i, e := range edges {
			switch base, head := known[e.base], known[e.head]; {
			case base != nil && head == nil:
				next[e.head] = append(next[e.head], base.along(i, e, 1))
			case base == nil && head != nil:
				next[e.base] = append(next[e.base], head.along(i, e, -1))
			}
		}
		if len(next) == 0 {
			break
		}
		for commit, ways := range next {
			p := meanOf(ways)
			p.Commit = commit
			known[commit] = &p
		}
	}
	for _, p := range known {
		if p != nil {
			p.finish(edges, s.Differences)
			s.Points = append(s.Points, *p)
		}
	}
	for _, e := range edges {
		if known[e.base] == nil {
			lost = append(lost, e)
		}
	}
	return lost
}

// reference is the commit that most others were measured beside; of several, the oldest.
func (s *Series) reference(edges []edge) int {
	count := map[int]int{}
	for _, e := range edges {
		count[e.base]++
	}
	best := edges[0].base
	for c, n := range count {
		if n > count[best] || n == count[best] && c < best {
			best = c
		}
	}
	return best
}

// along is the point at the other end of an edge: its head (1) or its base (-1).
func (p *Point) along(i int, e edge, direction float64) Point {
	q := Point{log: p.log + direction*e.log, weight: slices.Clone(p.weight), From: e.from}
	q.weight[i] += direction
	q.Value = e.value
	if direction < 0 {
		q.Value = e.baseValue
	}
	return q
}

func meanOf(ways []Point) Point {
	p := Point{weight: make([]float64, len(ways[0].weight))}
	for _, w := range ways {
		p.log += w.log / float64(len(ways))
		for i := range w.weight {
			p.weight[i] += w.weight[i] / float64(len(ways))
		}
		p.Value, p.From = w.Value, w.From // of the last
	}
	return p
}

// finish sets the level and its interval.
func (p *Point) finish(edges []edge, differences bool) {
	variance := 0.0
	for i, e := range edges {
		variance += p.weight[i] * p.weight[i] * e.sigma * e.sigma
	}
	const z90 = 1.6449
	half := z90 * math.Sqrt(variance)
	p.Level = levelOf(p.log, differences)
	p.Lo, p.Hi = levelOf(p.log-half, differences), levelOf(p.log+half, differences)
}

func levelOf(log float64, differences bool) float64 {
	if differences {
		return 1 + log
	}
	return math.Exp(log)
}
