package server

import (
	"slices"
	"strings"
)

// recallRounds bounds how often a conversation is encoded for recall: once, and again for each answer that it has to skip.
const recallRounds = 4

// recall finds the tokens of answers that nobody remembers any more, since the server was started after they were given,
// or elsewhere, in the agent's memory, which goes by the tokens of the whole conversation. It fills them in, and keeps them
// for the turns to come.
//
// The memory is followed along the conversation with the answers left out: where it agrees up to an answer, what it goes on
// with is this answer if it is spelled as the client has it. Whatever else is in there is of no use and does no harm: at
// worst an answer is encoded anew from its text.
func (s *Server) recall(b *backend, a *ask, roles, contents []string, known [][]int32) {
	var lost []int // turns
	for i, t := range a.turns {
		if t.role == "assistant" && t.key != "" && known[i] == nil {
			lost = append(lost, i)
		}
	}
	stops := b.text.StopTokens()
	if a.agent == "" || len(lost) == 0 || len(stops) == 0 {
		return
	}
	memory, err := b.engine.Tokens(a.agent)
	if err != nil || len(memory) == 0 {
		return
	}
	gap := slices.Repeat(stops[:1], 3) // no content can make one of them, and no template makes so many
	for range recallRounds {
		marked := slices.Clone(known)
		var keys []string
		for _, i := range lost {
			marked[i] = gap
			keys = append(keys, a.turns[i].key)
		}
		ids, err := b.text.EncodeChat(roles, contents, marked)
		if err != nil {
			return // encode will say it
		}
		answers, more := follow(b.text, memory, ids, gap, stops, keys)
		for n, answer := range answers {
			known[lost[n]] = answer
			s.answers.keep(a.agent, keys[n], answer)
		}
		if !more {
			return
		}
		lost = lost[len(answers)+1:] // that one is encoded from its text, perhaps as it was then
	}
}

// follow follows a memory along ids, a conversation with gaps in place of the answers with these keys. It returns those
// that the memory has, and whether more may be found behind the one that it does not have.
func follow(t Text, memory, ids, gap, stops []int32, keys []string) (answers [][]int32, more bool) {
	for i, key := range keys {
		n := 0
		for n < len(ids) && !startsWith(ids[n:], gap) {
			n++
		}
		if n == len(ids) || !startsWith(memory, ids[:n]) {
			return answers, false
		}
		memory, ids = memory[n:], ids[n+len(gap):]
		end := slices.IndexFunc(memory, func(id int32) bool { return slices.Contains(stops, id) })
		if end < 0 {
			end = len(memory)
		}
		answer := spelled(t, memory[:end], key)
		if answer == nil {
			return answers, i+1 < len(keys)
		}
		answers = append(answers, slices.Clone(answer)) // the whole memory need not be kept for it
		memory = memory[len(answer):]
	}
	return answers, false
}

func startsWith(ids, prefix []int32) bool {
	return len(ids) >= len(prefix) && slices.Equal(ids[:len(prefix)], prefix)
}

// spelled returns the tokens at the beginning of ids that are an answer with this key, nil where there are none. After an
// answer that a stop string ended more may come; one with tool calls must be all of ids.
func spelled(t Text, ids []int32, key string) []int32 {
	var (
		d    decoder
		text []byte
		b    []byte
	)
	for i, id := range ids {
		b = t.AppendToken(b[:0], id)
		text = append(text, d.push(b)...)
		if len(text)+len(d.raw)*len("\uFFFD") == len(key) && string(text)+strings.Repeat("\uFFFD", len(d.raw)) == key {
			return ids[:i+1]
		}
	}
	if !strings.Contains(key, callOpen) {
		return nil
	}
	text = append(text, d.end()...)
	g := generation{vocab: t, split: newSplitter(nil, true), likely: -1}
	for _, id := range ids {
		b = t.AppendToken(b[:0], id)
		g.split.push(b, &g)
	}
	g.end()
	if answerText(string(g.answer), g.calls, false) == string(text) && answerText(string(g.answer), g.calls, true) == key {
		return ids
	}
	return nil
}
