package load

import "strconv"

// Key is the load's part of a benchmark's name, at a level:
//
//	scenario=concurrent-10/agents=10/prompt=64/gen=16/cache=warm
//
// Two results are of the same load where their keys are equal, so what makes loads unlike is in it.
func (l *Load) Key(level Level) string {
	at := l.At(level)
	key := "scenario=" + l.Name
	if level.Kind != "" {
		key += "/" + level.String()
	}
	parts := []struct {
		key   string
		value int
	}{{"agents", max(at.Concurrency, at.Together)}, {"prompt", int(at.Prompt.A)}, {"gen", int(at.Answer.A)}}
	if l.Trace != nil {
		parts = parts[:1] // a trace has prompts and answers of its own
	}
	for _, part := range parts {
		if part.value > 0 {
			key += "/" + part.key + "=" + strconv.Itoa(part.value)
		}
	}
	if l.Cache != "" {
		key += "/cache=" + l.Cache.Key()
	}
	return key
}
