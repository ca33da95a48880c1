package tokenizer

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const familiesDir = "testdata/families"

// corpus returns the lines of families.py.
func corpus(t testing.TB) []string {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(familiesDir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	words := strings.Fields(read("corpus.txt"))
	marks := strings.Split(strings.TrimSuffix(read("marks.txt"), "\n"), "\n")
	joins := append(slices.Repeat([]string{" "}, 12), "  ", "\t", "", "\u00a0", "\u3000", "   ", " \r", "\u2028", "'",
		"-", "_", "/")
	ends := []string{"", "\n", "\n\n", " \n", "\r\n", "   "}
	state := uint64(19)
	draw := func(n int) int {
		state = state*6364136223846793005 + 1442695040888963407
		return int(state >> 33 % uint64(n))
	}
	var lines []string
	for size := 0; size < 1_000_000; size += len(lines[len(lines)-1]) {
		var b strings.Builder
		start := draw(len(words))
		for i := range draw(40) {
			word := words[(start+i)%len(words)]
			if draw(4) == 0 {
				word = words[draw(len(words))]
			}
			switch draw(40) {
			case 0:
				word = strings.Map(func(r rune) rune {
					if 'a' <= r && r <= 'z' {
						return r - 'a' + 'A'
					}
					return r
				}, word)
			case 1:
				limit := 10
				for range draw(9) {
					limit *= 10
				}
				word = strconv.Itoa(draw(limit))
			case 2:
				word = marks[draw(len(marks))]
			case 3:
				mark := ".,;:!?"[draw(6)]
				word += strings.Repeat(string(mark), 1+draw(3))
			case 4:
				from := []int{0x300, 0x1F300, 0x4E00, 0xAC00, 0x600, 0x900, 0x10400, 0x2190}[draw(8)]
				word = string(rune(from + draw(200)))
			}
			b.WriteString(word + joins[draw(len(joins))])
		}
		b.WriteString(ends[draw(len(ends))])
		lines = append(lines, b.String())
	}
	return lines
}

// family is what Hugging Face's tokenizers makes of the corpus.
type familyOracle struct {
	Tokens  int
	IDs     string // hash of all lines' ids
	Text    string // hash of their text without control tokens
	Samples []struct {
		Line int
		IDs  []int32
		Text string
	}
}

type familiesOracle struct {
	Corpus   string
	Lines    int
	Families map[string]familyOracle
}

func readFamilies(t testing.TB) (o familiesOracle) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(familiesDir, "oracle.json"))
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func loadFamily(t testing.TB, name string) *Model {
	t.Helper()
	f, err := os.Open(filepath.Join(familiesDir, name+".json.gz"))
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
	m, err := Load(fstest.MapFS{"tokenizer.json": &fstest.MapFile{Data: data}})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// TestFamilies: with the pipeline of each family of models, a corpus of 1 MB in many languages
// becomes the ids that Hugging Face's tokenizers makes of it, and the ids become its text again.
func TestFamilies(t *testing.T) {
	lines, oracle := corpus(t), readFamilies(t)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\x00")))
	if got := hex.EncodeToString(sum[:]); got != oracle.Corpus || len(lines) != oracle.Lines {
		t.Fatalf("the corpus has %d lines and the hash %s, families.py's %d and %s", len(lines), got, oracle.Lines, oracle.Corpus)
	}
	for name, want := range oracle.Families {
		t.Run(name, func(t *testing.T) {
			m := loadFamily(t, name)
			for _, s := range want.Samples {
				ids := m.Encode(lines[s.Line], true, 0)
				if !slices.Equal(ids, s.IDs) {
					t.Errorf("line %d, %q:\n got %v\nwant %v", s.Line, lines[s.Line], ids, s.IDs)
				}
				if text := decoded(m, ids); text != s.Text {
					t.Errorf("line %d, %v:\n got %q\nwant %q", s.Line, ids, text, s.Text)
				}
			}
			ids, text, count := sha256.New(), sha256.New(), 0
			for _, line := range lines {
				got := m.Encode(line, true, 0)
				count += len(got)
				binary.Write(ids, binary.LittleEndian, int32(len(got)))
				binary.Write(ids, binary.LittleEndian, got)
				io.WriteString(text, decoded(m, got)+"\x00")
			}
			if got := hex.EncodeToString(ids.Sum(nil)); got != want.IDs || count != want.Tokens {
				t.Errorf("the ids of the corpus differ: %d tokens, want %d", count, want.Tokens)
			}
			if got := hex.EncodeToString(text.Sum(nil)); got != want.Text {
				t.Error("the text of the corpus differs")
			}
		})
	}
}

// decoded returns the text of ids as Hugging Face's decoder has it, which drops the space before
// the first word where the pipeline puts one there.
func decoded(m *Model, ids []int32) string {
	var b []byte
	for _, id := range ids {
		b = m.AppendToken(b, id)
	}
	if stripsSpace(m) {
		b = bytes.TrimPrefix(b, []byte(" "))
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// stripsSpace says whether a text of the model begins with a space that its decoder drops.
func stripsSpace(m *Model) bool {
	ids := m.Encode("a", false, 0)
	return len(ids) > 0 && bytes.HasPrefix(m.AppendToken(nil, ids[0]), []byte(" "))
}
