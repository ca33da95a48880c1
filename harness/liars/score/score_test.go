package score_test

import (
	"testing"
	"testing/synctest"

	"loadstone/harness/client"
	"loadstone/harness/client/clienttest"
	"loadstone/harness/liars"
	"loadstone/harness/liars/score"
)

// judge has a liar judged in a synctest bubble, where time is exact and passes at once.
func judge(t *testing.T, l *liars.Liar) liars.Judgement {
	var j liars.Judgement
	synctest.Test(t, func(t *testing.T) {
		s := l.Server(liars.Options{Seed: 1})
		way, _ := clienttest.TransportTo(t, s.HTTP)
		c := score.Loadstone(t.Context(), l, score.Target{Server: s, Scale: 1,
			Client: func(string) *client.Client {
				return client.NewWithTransport("http://server", way)
			}})
		j = l.Judge(c, s.Truth())
	})
	return j
}

func TestScore(t *testing.T) {
	all, err := liars.Select(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		t.Run(l.Name, func(t *testing.T) {
			t.Parallel()
			j := judge(t, l)
			if j.Verdict != liars.Told {
				t.Errorf("%s: %s: %q", l.Name, j.Verdict, j.Reasons)
			} else {
				t.Logf("%s: %s: %q", l.Name, j.Verdict, j.Reasons)
			}
		})
	}
}
