package grammar

// stringChar is one character of a string, written as itself or escaped. A lone surrogate is not a
// character.
func (c *compiler) stringChar() symbol {
	r, hex := c.bytes, c.bytes("09afAF")
	tail := r("\x80\xbf")
	return c.oneOf(
		[]symbol{r(" !#[]\x7f")},
		[]symbol{r("\xc2\xdf"), tail},
		[]symbol{r("\xe0\xe0"), r("\xa0\xbf"), tail},
		[]symbol{r("\xe1\xec\xee\xef"), tail, tail},
		[]symbol{r("\xed\xed"), r("\x80\x9f"), tail},
		[]symbol{r("\xf0\xf0"), r("\x90\xbf"), tail, tail},
		[]symbol{r("\xf1\xf3"), tail, tail, tail},
		[]symbol{r("\xf4\xf4"), r("\x80\x8f"), tail, tail},
		[]symbol{r("\\\\"), r("\"\"\\\\//bbffnnrrtt")},
		[]symbol{r("\\\\"), r("uu"), r("09acACefEF"), hex, hex, hex},
		[]symbol{r("\\\\"), r("uu"), r("ddDD"), r("07"), hex, hex},
	)
}

// quoted puts quotes around s.
func (c *compiler) quoted(s symbol) symbol { return c.seq(c.literal(`"`), s, c.literal(`"`)) }

// integer is any whole number of up to 15 digits, so that a float64 holds it exactly.
func (c *compiler) integer() symbol {
	return c.seq(c.optional(c.literal("-")), c.oneOf([]symbol{c.literal("0")},
		[]symbol{c.bytes("19"), c.repeat(c.oneDigit, 0, 14)}))
}

// number is any number of up to 15 digits before and after the point and 2 in the exponent.
func (c *compiler) number() symbol {
	exponent := c.seq(c.bytes("eeEE"), c.optional(c.bytes("++--")), c.repeat(c.oneDigit, 1, 2))
	return c.seq(c.integer(), c.optional(c.literal("."), c.repeat(c.oneDigit, 1, 15)),
		c.optional(exponent))
}

// list is opening, low to high items and closing; a negative high stands for no limit.
func (c *compiler) list(opening string, item symbol, low, high int, closing string) symbol {
	if high == 0 {
		return c.seq(c.literal(opening), c.space, c.literal(closing))
	}
	if high > 0 {
		high--
	}
	more := c.repeat(c.seq(c.literal(","), c.space, item, c.space), max(low-1, 0), high)
	filled := c.seq(item, c.space, more)
	if low == 0 {
		filled = c.optional(filled)
	}
	return c.seq(c.literal(opening), c.space, filled, c.literal(closing))
}

// array is an array of low to high items.
func (c *compiler) array(item symbol, low, high int) symbol {
	return c.list("[", item, low, high, "]")
}

// pair is a property of an object.
func (c *compiler) pair(name, value symbol) symbol {
	return c.seq(name, c.literal(":"), c.space, value)
}
