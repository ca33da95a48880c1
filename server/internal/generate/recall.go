package generate

import (
	"slices"
	"strings"
)

// recallRounds bounds how often a conversation is encoded for recall: once, and again for each
// answer that recall has to skip.
const recallRounds = 4

// recall finds the tokens of answers that are not remembered any more, because the server was
// restarted after they were given or because another server gave them. It looks in the agent's
// memory, which is ordered by the tokens of the whole conversation, fills the answers' tokens into
// known, and remembers them for the agent's later requests.
//
// The memory is followed along the conversation with the answers left out. Where the two agree up
// to an answer, the memory goes on with that answer if it spells the text that the client sent.
// Anything else in the memory is of no use and does no harm: at worst an answer is encoded anew
// from its text.
//
// Where tokens are missing, recall asks the engine's goroutine for the memory, so it waits for a
// step. The client of a stream hears nothing meanwhile, which is right: the request may still be
// refused, with a status of its own, and a step takes less time than any proxy waits.
func (g *Generator) recall(who asker, c *chat) {
	var lost []int // indexes of messages
	for i, m := range c.messages {
		if m.Role == RoleAssistant && m.key != "" && c.known[i] == nil {
			lost = append(lost, i)
		}
	}
	stops := g.text.StopTokens()
	if who.agent == "" || len(lost) == 0 || len(stops) == 0 {
		return
	}
	memory, err := g.engine.Principal(who.principal).Tokens(who.agent, who.salt)
	if err != nil || len(memory) == 0 {
		return
	}
	// No content can make one of these tokens, and no template makes three in a row.
	gap := slices.Repeat(stops[:1], 3)
	for range recallRounds {
		marked := slices.Clone(c.known)
		var keys []string
		for _, i := range lost {
			marked[i] = gap
			keys = append(keys, c.messages[i].key)
		}
		// What lies behind the memory is in no memory.
		limit := len(memory) + len(lost)*len(gap)
		ids, err := g.text.EncodeChat(c.roles, c.contents, marked, c.variables, limit)
		if err != nil {
			return // Encode gets the same error and reports it
		}
		found, more := g.follow(memory, ids, gap, stops, keys, c.tools)
		for n, answer := range found {
			c.known[lost[n]] = answer.in(lost[n] >= c.turn)
			g.answers.keep(who, keys[n], answer)
		}
		if !more {
			return
		}
		// The answer that is skipped is encoded from its text, perhaps to the same tokens as then.
		lost = lost[len(found)+1:]
	}
}

// follow follows a memory along ids, a conversation with gaps in place of the answers with these
// keys. It returns the answers that the memory has, up to the first that it does not have, and
// whether more may be found behind that one.
func (g *Generator) follow(
	memory, ids, gap, stops []int32, keys []string, tools []Tool,
) (found []answerTokens, more bool) {
	for i, key := range keys {
		n := 0
		for n < len(ids) && !startsWith(ids[n:], gap) {
			n++
		}
		if n == len(ids) || !startsWith(memory, ids[:n]) {
			return found, false
		}
		memory, ids = memory[n:], ids[n+len(gap):]
		end := slices.IndexFunc(memory, func(id int32) bool { return slices.Contains(stops, id) })
		if end < 0 {
			end = len(memory)
		}
		answer := g.spelled(memory[:end], key, tools)
		if answer.whole == nil {
			return found, i+1 < len(keys)
		}
		memory = memory[len(answer.whole):]
		// A copy, so that the whole memory is not kept for it.
		answer.whole = slices.Clone(answer.whole)
		answer.text = answer.whole[len(answer.whole)-len(answer.text):]
		found = append(found, answer)
	}
	return found, false
}

func startsWith(ids, prefix []int32) bool {
	return len(ids) >= len(prefix) && slices.Equal(ids[:len(prefix)], prefix)
}

// spelled returns the tokens at the beginning of ids that spell an answer with this key, or none
// if they spell another.
func (g *Generator) spelled(ids []int32, key string, tools []Tool) answerTokens {
	from, thought, ok := g.afterThinking(ids)
	if !ok {
		return answerTokens{}
	}
	text := g.spelledText(ids[from:], key, tools)
	if text == nil {
		return answerTokens{}
	}
	whole := ids[:from+len(text)]
	if !thought {
		text = whole
	}
	return answerTokens{whole: whole, text: text}
}

// afterThinking returns the index of the first token behind the reasoning with which ids begin,
// and whether the reasoning has any text. ok is false if the reasoning ends within a token.
func (g *Generator) afterThinking(ids []int32) (index int, thought, ok bool) {
	r, a := newReasoner(g.thinking, false), assembly{}
	var b []byte
	for i, id := range ids {
		b = g.appendToken(b[:0], id)
		rest := r.push(b, &a)
		switch {
		case len(rest) == 0:
		case !r.found:
			return 0, false, true
		default:
			return i, r.begun, len(rest) == len(b)
		}
	}
	if !r.found {
		return 0, false, true
	}
	return len(ids), r.begun, true
}

// spelledText returns the tokens at the beginning of ids that are the text and the calls with this
// key. After an answer that a stop string ended, more tokens may follow; an answer with tool calls
// must be all of ids.
func (g *Generator) spelledText(ids []int32, key string, tools []Tool) []int32 {
	var (
		d    decoder
		text []byte
		b    []byte
	)
	for i, id := range ids {
		b = g.appendToken(b[:0], id)
		text = append(text, d.push(b)...)
		cut := "" // what stands for a character that is not complete
		if len(d.raw) > 0 {
			cut = "\uFFFD"
		}
		if len(text)+len(cut) == len(key) && string(text)+cut == key {
			return ids[:i+1]
		}
	}
	if !strings.Contains(key, callOpen) {
		return nil
	}
	text = append(text, d.end()...)
	s, a := newSplitter(nil, g.tools, tools), assembly{}
	for _, id := range ids {
		b = g.appendToken(b[:0], id)
		s.push(b, &a)
	}
	s.end(&a)
	whole := g.tools.XML || g.tools.text(string(a.text), a.calls, false) == string(text)
	if whole && answerText(string(a.text), a.calls, true) == key {
		return ids
	}
	return nil
}
