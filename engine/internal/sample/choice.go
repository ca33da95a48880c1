package sample

// A choice is a token that may be drawn.
type choice struct {
	key    uint64 // its distance, then its id: a smaller key is likelier, and of equals comes first
	weight float64
}

func (c choice) id() int32 { return int32(uint32(c.key)) }

// sink restores the heap below i, where every parent is less likely than its children.
func sink(heap []choice, i int) {
	for {
		worst := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if heap[child].key > heap[worst].key {
				worst = child
			}
		}
		if worst == i {
			return
		}
		heap[i], heap[worst] = heap[worst], heap[i]
		i = worst
	}
}

// reach moves the likeliest choices to the front, as many as it takes for their weights to reach
// target, and returns how many these are. They are in no order, except that the last of them is the
// least likely. It is quickselect (C. A. R. Hoare, "Algorithm 65: Find", 1961) by weight.
func reach(c []choice, target float64) int {
	from, to := 0, len(c)
	for to-from > 1 {
		i, before := partition(c[from:to])
		i += from
		switch up := before + c[i].weight; {
		case before >= target:
			to = i
		case up >= target:
			return i + 1
		default:
			target -= up
			from = i + 1
		}
	}
	return min(from+1, len(c))
}

// partition moves one choice to its place in the order, with the likelier ones before it and the
// others behind it, and returns that place and the sum of the weights before it. It has no branch
// that could be mispredicted.
func partition(c []choice) (place int, before float64) {
	last := len(c) - 1
	middle := median(c, 0, len(c)/2, last)
	c[middle], c[last] = c[last], c[middle]
	pivot := c[last].key
	for i, x := range c[:last] {
		c[i] = c[place]
		c[place] = x
		likelier := 0
		if x.key < pivot {
			likelier = 1
		}
		place += likelier
		before += x.weight * float64(likelier)
	}
	c[place], c[last] = c[last], c[place]
	return place, before
}

// median returns which of the places i, j and k has the middle one of their three choices.
func median(c []choice, i, j, k int) int {
	if c[j].key < c[i].key {
		i, j = j, i
	}
	switch x := c[k].key; {
	case x < c[i].key:
		return i
	case x < c[j].key:
		return k
	}
	return j
}
