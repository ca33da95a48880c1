package load

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzSource reads any bytes as recorded traffic, in every form: it is refused with the place of
// the fault, or the graph of each session's calls is sound: a call goes on from, and waits for,
// calls before it, and no time or count is negative.
func FuzzSource(f *testing.F) {
	files, err := filepath.Glob("testdata/sources/*.*")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures: ", err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, ".golden") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[:len(text)*2/3])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ReadSource("t", bytes.NewReader(text), 0)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t:") {
				t.Errorf("an error without its place: %v", err)
			}
			return
		}
		for _, r := range s.Requests {
			if r.At < 0 || r.Input < 1 || r.Output < 1 {
				t.Errorf("a request that cannot be: %+v", r)
			}
		}
		for _, session := range s.Sessions {
			if session.At < 0 {
				t.Errorf("a session at %v", session.At)
			}
			n := 0
			for c := range session.Calls {
				if n++; n > 1000 {
					break
				}
				checkCall(t, n-1, &c)
			}
		}
	})
}

// checkCall checks the call with this number.
func checkCall(t *testing.T, n int, c *Call) {
	t.Helper()
	if c.ID != n || c.From >= n || c.From < -1 || c.Keep < 0 || c.Pause < 0 || c.Turn < 0 || c.Sub < 0 ||
		c.Answer < 0 {
		t.Errorf("a call that cannot be: %+v", c)
	}
	for _, after := range c.After {
		if after < 0 || after >= n {
			t.Errorf("call %d waits for %d", n, after)
		}
	}
	for _, m := range c.Add {
		for _, w := range m.Words {
			if w.Tokens < 0 {
				t.Errorf("call %d: %d words", n, w.Tokens)
			}
		}
	}
}
