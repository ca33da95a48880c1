package client

import (
	"fmt"

	"loadstone/harness/record"
)

// usageKeys are what an API calls its counts.
type usageKeys struct{ prompt, output, promptDetails, outputDetails string }

var (
	chatUsage = usageKeys{"prompt_tokens", "completion_tokens", "prompt_tokens_details",
		"completion_tokens_details"}
	responsesUsage = usageKeys{"input_tokens", "output_tokens", "input_tokens_details",
		"output_tokens_details"}
)

// readUsage reads the server's counts, each by itself: one that cannot be read is unknown, and says
// nothing of the others.
func (v *completion) readUsage(c *cursor, keys *usageKeys) {
	if c.next() != '{' {
		if raw := c.value(); !falsy(raw) {
			v.part, v.unread = true, "it is "+excerpt(raw)
		}
		return
	}
	v.part = true
	other, total := false, 0
	c.object(func(key []byte) {
		switch string(key) {
		case keys.prompt:
			v.count(c, key, &v.prompt)
		case keys.output:
			v.count(c, key, &v.output)
		case "total_tokens":
			other = true
			total, _ = wholeNumber(c.value())
		case keys.promptDetails:
			v.countIn(c, "cached_tokens", &v.cached)
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek's and Moonshot's places for it
			v.count(c, key, &v.cached)
		case keys.outputDetails:
			v.countIn(c, "reasoning_tokens", &v.hidden)
		case "drafts":
			v.drafts(c)
		default:
			other = true
			c.skip()
		}
	})
	if v.prompt >= 0 && v.output >= 0 && total > 0 && total != v.prompt+v.output {
		v.unsummed = fmt.Sprintf("%d of %d and %d", total, v.prompt, v.output)
	}
	if other && !v.usage {
		v.unread = "it has neither " + keys.prompt + " nor " + keys.output
	}
}

// usageIn reads the usage of an object.
func (v *completion) usageIn(c *cursor) {
	if c.next() != '{' {
		c.skip()
		return
	}
	c.object(func(key []byte) {
		if string(key) == "usage" {
			v.readUsage(c, &chatUsage)
		} else {
			c.skip()
		}
	})
}

// countIn reads one count of an object.
func (v *completion) countIn(c *cursor, name string, n *int) {
	if c.next() != '{' {
		c.skip()
		return
	}
	c.object(func(key []byte) {
		if string(key) == name {
			v.count(c, key, n)
		} else {
			c.skip()
		}
	})
}

// drafts reads what our server's usage says of drafts. What cannot be read is unknown.
func (v *completion) drafts(c *cursor) {
	if c.next() != '{' {
		c.skip()
		return
	}
	c.object(func(key []byte) {
		switch string(key) {
		case "drafted_tokens":
			v.drafted, _ = wholeNumber(c.value())
		case "accepted_tokens":
			v.accepted, _ = wholeNumber(c.value())
		default:
			c.skip()
		}
	})
}

// timings reads what llama.cpp counts beside its times. What cannot be read is unknown.
func (v *completion) timings(c *cursor) {
	if c.next() != '{' {
		c.skip()
		return
	}
	c.object(func(key []byte) {
		switch string(key) {
		case "draft_n":
			v.drafted, _ = wholeNumber(c.value())
		case "draft_n_accepted":
			v.accepted, _ = wholeNumber(c.value())
		case "cache_n":
			if n, ok := wholeNumber(c.value()); ok {
				v.reused = n
			}
		default:
			c.skip()
		}
	})
}

// count reads one of the server's counts.
func (v *completion) count(c *cursor, key []byte, n *int) {
	raw := c.value()
	if string(raw) == "null" { // it takes back no count that came before
		return
	}
	v.usage = true
	if read, ok := wholeNumber(raw); ok {
		*n = read
	} else if v.unread == "" {
		v.unread = string(key) + " is " + excerpt(raw)
	}
}

// counts copies the server's token counts to the record. A server that does not report some of them
// leaves those unknown.
func (v *completion) counts(r *record.Record) {
	if v.unread != "" {
		r.Note(record.NoteUsage, v.unread)
	}
	switch {
	case v.usage && v.partial:
		keep := func(n *int, read int) {
			if read >= 0 {
				*n = read
			}
		}
		keep(&r.PromptTokens, v.prompt)
		keep(&r.OutputTokens, v.output)
		keep(&r.CachedTokens, v.cached)
	case v.usage:
		r.PromptTokens, r.OutputTokens, r.CachedTokens = v.prompt, v.output, v.cached
	case v.unread != "":
		r.PromptTokens, r.OutputTokens, r.CachedTokens = -1, -1, -1
	}
	if v.another != "" {
		r.Note(record.NoteModel, v.another+", where "+v.asked+" was asked for")
	}
	if v.unsummed != "" {
		r.Note(record.NoteSum, v.unsummed)
	}
	if v.odd != "" {
		kind := record.NoteField
		if !v.part {
			kind = record.NoteEvent
		}
		r.Note(kind, v.odd)
	}
}
