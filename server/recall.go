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
	lost := make([]bool, len(known))
	for i, t := range a.turns {
		lost[i] = t.role == "assistant" && t.key != "" && known[i] == nil
	}
	stops := b.text.StopTokens()
	if a.agent == "" || len(stops) == 0 || !slices.Contains(lost, true) {
		return
	}
	memory, err := b.engine.Tokens(a.agent)
	if err != nil {
		return // so will be the request's
	}
	gap := slices.Repeat(stops[:1], 3) // no content can make one of them, and no template makes so many
	for range recallRounds {
		marked := slices.Clone(known)
		for i := range lost {
			if lost[i] {
				marked[i] = gap
			}
		}
		ids, err := b.text.EncodeChat(roles, contents, marked)
		if err != nil {
			return // so will be the request's
		}
		missed := s.follow(b, a, memory, ids, gap, stops, lost, known)
		if missed < 0 {
			return
		}
		lost[missed] = false // it is encoded from its text, perhaps as it was then
	}
}

// follow follows the memory along ids, a conversation with gaps for the lost answers, and fills in those it finds. It
// returns the first that is not what the memory has in its place, or -1 where the memory is another conversation's or ends.
func (s *Server) follow(b *backend, a *ask, memory, ids, gap, stops []int32, lost []bool, known [][]int32) (missed int) {
	for i := range lost {
		if !lost[i] {
			continue
		}
		n := 0
		for n < len(ids) && !startsWith(ids[n:], gap) {
			n++
		}
		if n == len(ids) || !startsWith(memory, ids[:n]) {
			return -1
		}
		memory, ids = memory[n:], ids[n+len(gap):]
		answer := memory
		if end := slices.IndexFunc(memory, func(id int32) bool { return slices.Contains(stops, id) }); end >= 0 {
			answer = memory[:end]
		}
		answer = spelled(b.text, answer, a.turns[i].key)
		if answer == nil {
			return i
		}
		known[i], lost[i] = answer, false
		s.answers.keep(a.agent, a.turns[i].key, answer)
		memory = memory[len(answer):]
	}
	return -1
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
