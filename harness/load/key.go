package load

import "strconv"

// A Key is the load's part of a benchmark's name:
//
//	scenario=concurrent-10/agents=10/prompt=64/gen=16/cache=warm
//
// It must stay as it is in committed baselines, or new results would not be set beside them.
type Key struct {
	Scenario       string
	Level          Level // the zero Level where the load is not tried at several
	Agents         int   // at a time; 0 in an open loop
	Prompt, Answer int   // tokens; 0 where the load's source has its own
	Cache          Cache
}

// Key is the load's key at a level.
func (l *Load) Key(level Level) Key {
	at := l.At(level)
	k := Key{Scenario: l.Name, Level: level, Agents: max(at.Concurrency, at.Together), Cache: l.Cache}
	if l.Trace == nil { // a trace has prompts and answers of its own
		k.Prompt, k.Answer = int(at.Prompt.A), int(at.Answer.A)
	}
	return k
}

func (k Key) String() string {
	key := "scenario=" + k.Scenario
	if k.Level.Kind != "" {
		key += "/" + k.Level.String()
	}
	for _, part := range []struct {
		key   string
		value int
	}{{"agents", k.Agents}, {"prompt", k.Prompt}, {"gen", k.Answer}} {
		if part.value > 0 {
			key += "/" + part.key + "=" + strconv.Itoa(part.value)
		}
	}
	if k.Cache != "" {
		key += "/cache=" + k.Cache.Key()
	}
	return key
}
