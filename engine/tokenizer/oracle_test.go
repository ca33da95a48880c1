package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// oracle is a file of testdata/oracle.py: results of Hugging Face's libraries.
type oracle struct {
	Encodings []struct {
		Text       string
		IDs, Plain []int32
	}
	Chats []struct {
		Roles, Contents []string
		Text            string
		IDs             []int32
		Error           string
	}
}

func readOracle(t testing.TB, name string) oracle {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var o oracle
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func loadDir(t testing.TB, dir string) *Model {
	t.Helper()
	m, err := Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var fixtures = []string{"bytelevel", "split", "sentencepiece"}

func loadFixture(t testing.TB, name string) *Model {
	return loadDir(t, filepath.Join("testdata", name))
}

// loadPulled returns a model of the catalogue, or skips the test if it has not been pulled.
func loadPulled(t testing.TB, name string) *Model {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(cache, "loadstone", "models", name)
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Skipf("model %s is not on this machine; get it with: loadstone model pull %[1]s",
			name)
	}
	return loadDir(t, dir)
}

// TestOracle compares every id and every rendered character with Hugging Face's.
func TestOracle(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			checkOracle(t, loadFixture(t, name), readOracle(t, name+"/oracle.json"))
		})
	}
	t.Run("tiny", func(t *testing.T) {
		checkOracle(t, loadDir(t, "../tiny/model"), readOracle(t, "tiny.json"))
	})
	for _, name := range []string{"smollm2", "gemma3-270m"} {
		t.Run(name, func(t *testing.T) {
			checkOracle(t, loadPulled(t, name), readOracle(t, name+".json"))
		})
	}
}

// checkOracle compares a model with an oracle.
func checkOracle(t *testing.T, m *Model, o oracle) {
	for _, e := range o.Encodings {
		// The second time the ids come from the word cache.
		for range 2 {
			if got := m.Encode(e.Text, true, 0); !slices.Equal(got, e.IDs) {
				t.Errorf("Encode(%q, true)\n got %v\nwant %v", e.Text, got, e.IDs)
			}
			if got := m.Encode(e.Text, false, 0); !slices.Equal(got, e.Plain) {
				t.Errorf("Encode(%q, false)\n got %v\nwant %v", e.Text, got, e.Plain)
			}
		}
	}
	for _, c := range o.Chats {
		chat := make(messages, len(c.Roles))
		for i := range chat {
			chat[i] = message{c.Roles[i], c.Contents[i]}
		}
		text, err := m.template.render(chat, true, nil)
		if text.String() != c.Text || !sameError(err, c.Error) {
			t.Errorf("chat %q %q\n got %q, %v\nwant %q, %s",
				c.Roles, c.Contents, text.String(), err, c.Text, c.Error)
		}
		ids, err := m.EncodeChat(c.Roles, c.Contents, nil, nil, 0)
		if !slices.Equal(ids, c.IDs) || !sameError(err, c.Error) {
			t.Errorf("EncodeChat(%q, %q)\n got %v, %v\nwant %v, %s",
				c.Roles, c.Contents, ids, err, c.IDs, c.Error)
		}
	}
}

func sameError(err error, want string) bool {
	if want == "" || err == nil {
		return err == nil && want == ""
	}
	return strings.HasSuffix(err.Error(), ": "+want)
}

// TestDecode checks that the bytes of a text's tokens are the text.
func TestDecode(t *testing.T) {
	for _, name := range fixtures {
		m := loadFixture(t, name)
		for _, e := range readOracle(t, name+"/oracle.json").Encodings {
			want := normalize(m.tokenizer.normalizers, e.Text)
			if name == "sentencepiece" {
				want = strings.ReplaceAll(want, "▁", " ") // ▁ is its only way to write a space
			}
			if got := decode(m, m.Encode(e.Text, false, 0)); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
}

func decode(m *Model, ids []int32) string {
	var b []byte
	for _, id := range ids {
		b = m.AppendToken(b, id)
	}
	return string(b)
}

func TestStopTokens(t *testing.T) {
	for name, want := range map[string]string{
		"bytelevel": "<|im_end|>", "split": "<|eot_id|>", "sentencepiece": "<eos> <end_of_turn>",
	} {
		m := loadFixture(t, name)
		var got []string
		for _, id := range m.StopTokens() {
			got = append(got, m.tokenizer.controlText(id))
			if b := m.AppendToken(nil, id); len(b) > 0 {
				t.Errorf("%s: control token %d is written %q", name, id, b)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
