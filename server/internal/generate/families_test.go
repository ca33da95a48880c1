package generate

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"loadstone/engine/tokenizer"
)

// TestFamiliesStream: what a stream says of a family's tokens, one by one, is the text that Hugging
// Face's decoder makes of all of them; a character whose bytes come in several tokens comes whole.
func TestFamiliesStream(t *testing.T) {
	const dir = "../../../engine/tokenizer/testdata/families/"
	var oracle struct {
		Families map[string]struct {
			Samples []struct {
				IDs  []int32
				Text string
			}
		}
	}
	b, err := os.ReadFile(dir + "oracle.json")
	if err == nil {
		err = json.Unmarshal(b, &oracle)
	}
	if err != nil || len(oracle.Families) < 12 {
		t.Fatalf("%d families, %v", len(oracle.Families), err)
	}
	for name, family := range oracle.Families {
		m := loadFamily(t, dir+name+".json.gz")
		g := newGenerator(m)
		for _, sample := range family.Samples {
			d, text := newDecoder(nil), ""
			for _, id := range sample.IDs {
				piece := string(d.push(g.appendToken(nil, id)))
				if !strings.HasPrefix(sample.Text, strings.TrimPrefix(text+piece, " ")) &&
					!strings.HasPrefix(sample.Text, text+piece) {
					t.Errorf("%s: the stream says %q of %q", name, text+piece, sample.Text)
					break
				}
				text += piece
			}
			text += string(d.end())
			// SentencePiece's decoder drops the space that its encoder put before the first word.
			if text != sample.Text && strings.TrimPrefix(text, " ") != sample.Text {
				t.Errorf("%s: streamed %q, want %q", name, text, sample.Text)
			}
		}
	}
}

// loadFamily loads the tokenizer of a family.
func loadFamily(t *testing.T, path string) *tokenizer.Model {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tokenizer.Load(fstest.MapFS{"tokenizer.json": &fstest.MapFile{Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
