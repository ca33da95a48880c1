package grammar

// maxCompared bounds the comparisons of schemas of all oneOf of a document.
const maxCompared = 50_000

// apart reports whether no value that is written for a is valid under b. It returns false if it
// does not know.
func (c *compiler) apart(a, b *conjunction, depth int) bool {
	if c.compared++; c.compared > maxCompared || depth > 20 {
		return false
	}
	if a.never || b.never {
		return true
	}
	listA, listedA, errA := c.listedBy(a)
	listB, listedB, errB := c.listedBy(b)
	if errA != nil || errB != nil {
		return false
	}
	if listedA {
		return c.noneValid(listA, a, b)
	}
	if listedB {
		return c.noneValid(listB, b, a)
	}
	for _, f := range []*conjunction{a, b} {
		if len(f.groups) == 0 {
			continue
		}
		list, _, err := c.branches(f)
		if err != nil {
			return false
		}
		for _, branch := range list {
			if f == a && !c.apart(branch, b, depth+1) || f == b && !c.apart(a, branch, depth+1) {
				return false
			}
		}
		return true
	}
	typesA, errA := c.types(a)
	typesB := allTypes
	for _, n := range b.nodes {
		one, _ := typesOf(n)
		typesB &= one
	}
	if a.object {
		typesA &= objectType
	}
	common := typesA & typesB
	return errA == nil && common&(booleanType|nullType) == 0 &&
		(common&stringType == 0 || c.apartStrings(a, b)) &&
		(common&numberType == 0 || c.apartNumbers(a, b)) &&
		(common&arrayType == 0 || c.apartArrays(a, b, depth)) &&
		(common&objectType == 0 || c.apartObjects(a, b, depth))
}

// noneValid reports whether none of the values is valid under both schemas.
func (c *compiler) noneValid(values []*node, a, b *conjunction) bool {
	for _, v := range values {
		if c.maybeValid(a, v) && c.maybeValid(b, v) {
			return false
		}
	}
	return true
}

func (c *compiler) apartStrings(a, b *conjunction) bool {
	la, lowA, highA, errA := c.strings(a)
	lb, lowB, highB, errB := c.outerStrings(b)
	if errA != nil || errB != nil {
		return false
	}
	if highA >= 0 && lowB > highA || highB >= 0 && lowA > highB {
		return true
	}
	if la == anything || lb == anything {
		return false
	}
	return c.isEmpty(c.and(la, lb))
}

func (c *compiler) apartNumbers(a, b *conjunction) bool {
	va, errA := c.interval(a)
	vb, errB := c.interval(b)
	va.raiseTo(vb)
	return errA == nil && errB == nil && va.empty()
}

// raiseTo narrows an interval to its common part with another.
func (v *interval) raiseTo(w interval) {
	if w.low.set {
		v.raise(w.low)
	}
	if w.high.set {
		v.lower(w.high)
	}
}

// apartArrays compares lengths, and items that both kinds of array have.
func (c *compiler) apartArrays(a, b *conjunction, depth int) bool {
	lowA, highA, errA := c.span(a, "minItems", "maxItems")
	lowB, highB, errB := c.span(b, "minItems", "maxItems")
	if errA != nil || errB != nil {
		return false
	}
	if highA >= 0 && lowB > highA || highB >= 0 && lowA > highB {
		return true
	}
	for i := range min(max(lowA, lowB), 8) {
		listA, _ := itemSchemas(a, i)
		listB, _ := itemSchemas(b, i)
		if c.apartSchemas(listA, listB, depth) {
			return true
		}
	}
	return false
}

// apartObjects looks for a property that one kind of object must have and with which the other
// differs from it.
func (c *compiler) apartObjects(a, b *conjunction, depth int) bool {
	namesA, requiredA, errA := c.names(a)
	namesB, requiredB, errB := c.names(b)
	if errA != nil || errB != nil {
		return false
	}
	written := make(map[string]bool)
	for _, name := range namesA {
		written[name] = true
	}
	for _, name := range append(namesA[:len(namesA):len(namesA)], namesB...) {
		if !requiredA[name] && !requiredB[name] {
			continue
		}
		if len(namesA) > 0 && requiredB[name] && !written[name] {
			return true // objects of a are written without it
		}
		listA, errA := c.property(a, name)
		listB, errB := c.property(b, name)
		if errA == nil && errB == nil && c.apartSchemas(listA, listB, depth) {
			return true
		}
	}
	return false
}

// apartSchemas is apart for two conjunctions of schemas.
func (c *compiler) apartSchemas(a, b []*node, depth int) bool {
	var both [2]conjunction
	for i, list := range [][]*node{a, b} {
		for _, n := range list {
			if c.add(&both[i], n, nil) != nil {
				return false
			}
		}
	}
	if len(both[1].nodes)+len(both[1].groups) == 0 && !both[1].never {
		return false
	}
	return c.apart(&both[0], &both[1], depth+1)
}
