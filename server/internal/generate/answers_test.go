package generate

import "testing"

func TestAnswers(t *testing.T) {
	a := newAnswers(5)
	known := func(ids ...int32) answerTokens { return answerTokens{whole: ids, text: ids} }
	a.keep(asker{agent: "ada"}, "one", known(1, 1))
	a.keep(asker{agent: "ada"}, "two", known(2, 2))
	a.keep(asker{agent: "bob"}, "one", known(3))
	said := func(texts ...string) (messages []Message) {
		for _, text := range texts {
			messages = append(messages, Message{Role: RoleAssistant, Text: text, key: text})
		}
		return messages
	}
	a.find(asker{agent: "ada"}, said("one")) // is used again, so "two" is now the oldest
	a.keep(asker{agent: "ada"}, "six", known(6))
	got := a.find(asker{agent: "ada"},
		append([]Message{{Role: RoleUser, Text: "one"}}, said("one", "two", "six")...))
	if got[0].whole != nil || len(got[1].whole) != 2 || got[1].whole[0] != 1 || got[2].whole != nil ||
		got[3].whole == nil {
		t.Errorf("ada's answers: %v", got)
	}
	if got := a.find(asker{agent: "bob"}, said("one")); len(got[0].whole) != 1 || got[0].whole[0] != 3 {
		t.Errorf("bob's answer: %v", got)
	}
	a.keep(asker{agent: "ada"}, "big", known(1, 2, 3, 4, 5, 6)) // more than the limit
	if a.tokens != 0 || len(a.known) != 0 || a.recent.Len() != 0 {
		t.Errorf("after an answer beyond the limit: %d tokens, %d answers", a.tokens, len(a.known))
	}
}
