package generate

import "testing"

func TestAnswers(t *testing.T) {
	a := newAnswers(5)
	a.keep(asker{agent: "ada"}, "one", []int32{1, 1})
	a.keep(asker{agent: "ada"}, "two", []int32{2, 2})
	a.keep(asker{agent: "bob"}, "one", []int32{3})
	said := func(texts ...string) (messages []Message) {
		for _, text := range texts {
			messages = append(messages, Message{Role: RoleAssistant, Text: text, key: text})
		}
		return messages
	}
	a.find(asker{agent: "ada"}, said("one")) // is used again, so "two" is now the oldest
	a.keep(asker{agent: "ada"}, "six", []int32{6})
	got := a.find(asker{agent: "ada"},
		append([]Message{{Role: RoleUser, Text: "one"}}, said("one", "two", "six")...))
	if got[0] != nil || len(got[1]) != 2 || got[1][0] != 1 || got[2] != nil || got[3] == nil {
		t.Errorf("ada's answers: %v", got)
	}
	if got := a.find(asker{agent: "bob"}, said("one")); len(got[0]) != 1 || got[0][0] != 3 {
		t.Errorf("bob's answer: %v", got)
	}
	a.keep(asker{agent: "ada"}, "big", make([]int32, 6)) // more than the limit
	if a.tokens != 0 || len(a.known) != 0 || a.recent.Len() != 0 {
		t.Errorf("after an answer beyond the limit: %d tokens, %d answers", a.tokens, len(a.known))
	}
}
