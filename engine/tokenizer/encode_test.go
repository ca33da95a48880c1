package tokenizer

import (
	"fmt"
	"go/build"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// naive is byte-pair encoding by its definition: it merges the leftmost pair of the lowest rank
// until there is none.
func naive(b *bpe, word string) []int32 {
	var ids []int32
	for _, s := range b.symbols(nil, word) {
		ids = append(ids, s.id)
	}
	for {
		best, at := ^uint32(0), -1
		for i := range len(ids) - 1 {
			if rank, ok := b.merges.get(ids[i], ids[i+1]); ok && rank < best {
				best, at = rank, i
			}
		}
		if at < 0 {
			return ids
		}
		ids[at] = b.merged[best]
		ids = slices.Delete(ids, at+1, at+2)
	}
}

// TestMerge compares the heap with the definition on words that are made of pieces of the
// vocabulary.
func TestMerge(t *testing.T) {
	for _, name := range fixtures {
		m := loadFixture(t, name)
		rng := rand.New(rand.NewPCG(3, 4))
		parts := make([]string, 0, len(m.tokenizer.model.vocab))
		for part := range m.tokenizer.model.vocab {
			parts = append(parts, part)
		}
		slices.Sort(parts)
		b := m.tokenizer.model
		b.whole = false
		for range 2000 {
			var w strings.Builder
			for range rng.IntN(12) {
				w.WriteString(parts[rng.IntN(len(parts))])
			}
			got, want := b.append(nil, w.String()), naive(b, w.String())
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q\n got %v\nwant %v", name, w.String(), got, want)
			}
		}
	}
}

// TestMarkSplitter checks that cuts at "▁" change no ids, with a vocabulary in which a merge
// reaches over some of the cuts.
func TestMarkSplitter(t *testing.T) {
	tk, err := newTokenizer([]byte(`{"model":{"vocab":{"a":0,">":1,"<":2,"▁":3,"▁<":4,">▁<":5,"a▁":6,"▁▁":7,"▁a":8},` +
		`"merges":["▁ <","> ▁<","▁ ▁","▁ a"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{tokenizer: tk}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		var s strings.Builder
		for range rng.IntN(12) {
			s.WriteString([]string{"a", ">", "<", "▁", "▁"}[rng.IntN(5)])
		}
		got, want := m.Encode(s.String(), true, 0), naive(tk.model, s.String())
		if !slices.Equal(got, want) {
			t.Errorf("%q\n got %v\nwant %v", s.String(), got, want)
		}
	}
}

// FuzzEncode checks that any text can be encoded, that plain text makes no control tokens, that
// the bytes of byte-level tokens are the text, and that a limit is exceeded by what exceeds it.
func FuzzEncode(f *testing.F) {
	for _, e := range readOracle(f, "bytelevel/oracle.json").Encodings {
		f.Add(e.Text)
	}
	f.Add("\xff\xc3(\xe2\x96")
	f.Add(strings.Repeat("a", 2000))
	var models, narrow []*Model
	for _, name := range fixtures {
		models, narrow = append(models, loadFixture(f, name)), append(narrow, loadFixture(f, name))
		narrow[len(narrow)-1].tokenizer.window.bytes = min(1, narrow[len(narrow)-1].tokenizer.window.bytes)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for i, m := range models {
			plain := m.Encode(s, false, 0)
			if found := controls(m, plain); len(found) > 0 {
				t.Errorf("%s: control tokens %v from plain %q", fixtures[i], found, s)
			}
			want := normalize(m.tokenizer.normalizers, s)
			if utf8.ValidString(s) && fixtures[i] != "sentencepiece" && decode(m, plain) != want {
				t.Errorf("%s: got %q back, want %q", fixtures[i], decode(m, plain), want)
			}
			whole := m.Encode(s, true, 0)
			if got := narrow[i].Encode(s, true, 0); !slices.Equal(got, whole) {
				t.Errorf("%s: %q in parts:\n got %v\nwant %v", fixtures[i], s, got, whole)
			}
			for limit := 1; limit <= 3*len(whole); limit *= 3 {
				got := m.Encode(s, true, limit)
				if len(whole) <= limit && !slices.Equal(got, whole) || len(whole) > limit != (len(got) > limit) {
					t.Errorf("%s: %d ids with a limit of %d, %d without", fixtures[i], len(got), limit, len(whole))
				}
			}
			if _, err := m.EncodeChat([]string{"user"}, []string{s}, nil, nil, 0); err != nil {
				t.Errorf("%s: %v", fixtures[i], err)
			}
		}
	})
}

// TestEncodeLimit checks that no more of a text is encoded than shows that it has too many ids, be
// it of many words or of one, and that what comes early is as it is without a limit.
func TestEncodeLimit(t *testing.T) {
	texts := map[string]string{
		"words": strings.Repeat("The quick brown fox. ", 1000),
		"one":   strings.Repeat("a", 20_000),
		"emoji": strings.Repeat("😀", 5000),
	}
	for name, m := range chatModels(t) {
		for of, text := range texts {
			chat := func(limit int) []int32 {
				ids, err := m.EncodeChat([]string{"user"}, []string{text}, nil, nil, limit)
				if err != nil {
					t.Fatal(err)
				}
				return ids
			}
			for what, encode := range map[string]func(limit int) []int32{
				"chat":    chat,
				"plain":   func(limit int) []int32 { return m.Encode(text, false, limit) },
				"special": func(limit int) []int32 { return m.Encode(text, true, limit) },
			} {
				const limit = 10
				whole, got := encode(0), encode(limit)
				if len(got) <= limit || len(got) > (limit+2)*m.tokenizer.model.longest {
					t.Errorf("%s, %s, %s: %d ids of %d", name, of, what, len(got), len(whole))
				}
				if n := len(whole); !slices.Equal(encode(n), whole) || len(encode(n-1)) < n {
					t.Errorf("%s, %s, %s: a limit of %d changes it", name, of, what, n)
				}
			}
		}
	}
}

// FuzzScanners compares each scanner with its expression. The expressions go back and forth over a
// long run of letters or spaces, so they are given short texts, which show as much: what a scanner
// does depends on the characters around it. (Go's fuzzer also spends a minute on making each input
// that goes a new way smaller, and counts nothing meanwhile; .ci/fuzz has it try a hundred times.)
func FuzzScanners(f *testing.F) {
	for _, e := range readOracle(f, "bytelevel/oracle.json").Encodings {
		f.Add(e.Text)
	}
	f.Add("ABCdef HTTPServer's ǅx ʰA日本B e\u0301É\u0301\u0301 \u0301x /a//b\n/ x.y!Z #1a \x01\x01b ９12345")
	f.Add("a\n \n  b\r\n\r\n   c '\t's 'S 'RE're'lL 12345a \u00a0\u00a0x \u3000")
	expressions := make(map[string]*pattern)
	for expression := range scanners {
		// Oniguruma, which Hugging Face uses, folds ſ to s; regexp2 does not.
		folded := strings.ReplaceAll(expression, "(?i:'s|", "(?i:'s|'ſ|")
		expressions[expression] = &pattern{re: regexp2.MustCompile(folded, regexp2.None)}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) > 500 {
			t.Skip("longer than it need be")
		}
		for expression, p := range expressions {
			scan := &pattern{scan: scanners[expression]}
			if got, want := scan.spans(nil, s), p.spans(nil, s); !slices.Equal(got, want) {
				t.Errorf("%s\non %q\n got %v\nwant %v", expression, s, got, want)
			}
		}
	})
}

// FuzzLoad checks that any tokenizer.json gives an error or a tokenizer and never a panic.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"added_tokens":[{"id":3,"content":"<s>","special":true,"lstrip":true}],
		"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"},
			{"type":"Prepend","prepend":"▁"},{"type":"Strip","strip_left":true}]},
		"pre_tokenizer":{"type":"Sequence","pretokenizers":[
			{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithNext","invert":true},
			{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]},
		"post_processor":{"type":"TemplateProcessing",
			"single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],
			"special_tokens":{"<s>":{"ids":[3]}}},
		"decoder":{"type":"Sequence","decoders":[
			{"type":"Replace","pattern":{"String":"▁"},"content":" "},
			{"type":"ByteFallback"},{"type":"Fuse"}]},
		"model":{"type":"BPE","unk_token":"a","fuse_unk":true,"byte_fallback":true,
			"vocab":{"a":0,"b":1,"ab":2,"▁":4},"merges":[["a","b"]]}}`))
	f.Add([]byte(`{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":0,"Ġ":1},"merges":["Ġ a"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			t.Skip("longer than it need be")
		}
		tk, err := newTokenizer(data)
		if err != nil {
			return
		}
		m := &Model{tokenizer: tk}
		for _, s := range []string{"", "a b  ab <s> é\n", strings.Repeat("ab", 50)} {
			for _, id := range m.Encode(s, true, 0) {
				m.AppendToken(nil, id)
			}
		}
	})
}

// BenchmarkFamilies encodes the corpus of 1 MB with the pipeline of each family.
func BenchmarkFamilies(b *testing.B) {
	text := strings.Join(corpus(b), "")
	for name := range readFamilies(b).Families {
		b.Run("family="+name, func(b *testing.B) {
			m := loadFamily(b, name)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				m.Encode(text, true, 0)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	prose := readOracle(b, "smollm2.json").Encodings
	var mixed strings.Builder
	for mixed.Len() < 1<<20 {
		for _, e := range prose[:16] {
			mixed.WriteString(e.Text)
		}
	}
	texts := []struct{ name, text string }{
		{"multilingual", mixed.String()},
		{"no-spaces", strings.Repeat("abcdefghij", 10000)},
	}
	// English and code that every machine with Go has.
	source, err := os.ReadFile(filepath.Join(build.Default.GOROOT, "src", "net", "http", "server.go"))
	if err == nil {
		texts = append(texts, struct{ name, text string }{"net-http-source", string(source)})
	}
	for _, name := range []string{"smollm2", "gemma3-270m"} {
		b.Run("model="+name, func(b *testing.B) {
			m := loadPulled(b, name)
			for _, text := range texts {
				b.Run("text="+text.name, func(b *testing.B) {
					b.SetBytes(int64(len(text.text)))
					for b.Loop() {
						m.Encode(text.text, true, 0)
					}
				})
			}
		})
	}
}

// TestWindow checks that the parts of a text have the ids of the whole, with the pipeline of each
// family.
func TestWindow(t *testing.T) {
	text := strings.Join(corpus(t), "")[:200_000]
	parted := 0
	for name := range readFamilies(t).Families {
		m := loadFamily(t, name)
		m.tokenizer.window.bytes = 0
		whole := m.Encode(text, true, 0)
		if m.tokenizer.window.space == "" {
			continue
		}
		parted++
		for _, n := range []int{1, 100, 5000} {
			if m.tokenizer.window.bytes = n; !slices.Equal(m.Encode(text, true, 0), whole) {
				t.Errorf("%s: in parts of %d bytes the ids differ", name, n)
			}
		}
	}
	if parted < 5 {
		t.Errorf("%d families are encoded in parts", parted)
	}
}

// BenchmarkTooLong encodes 10 MiB that do not fit, to the end and up to twice a context.
func BenchmarkTooLong(b *testing.B) {
	for name, context := range map[string]int{"smollm2": 8192, "gemma3-270m": 32768} {
		m := loadPulled(b, name)
		for of, unit := range map[string]string{"prose": "The quick brown fox jumps over the lazy dog. ", "one-word": "a"} {
			text := strings.Repeat(unit, 10<<20/len(unit))
			for _, limit := range []int{0, 2 * context} {
				b.Run(fmt.Sprintf("model=%s/text=%s/limit=%d", name, of, limit), func(b *testing.B) {
					for b.Loop() {
						m.Encode(text, true, limit)
					}
				})
			}
		}
	}
}

// BenchmarkEncodeChat encodes a chat of 49 messages of 100 bytes each.
func BenchmarkEncodeChat(b *testing.B) {
	for name, m := range chatModels(b) {
		var roles, contents []string
		for i := range 49 {
			roles = append(roles, [...]string{"user", "assistant"}[i%2])
			contents = append(contents, strings.Repeat("ten bytes ", 10))
		}
		b.Run("template="+strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				if _, err := m.EncodeChat(roles, contents, nil, nil, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"smollm2", "gemma3-270m"} {
		b.Run("model="+name, func(b *testing.B) {
			for b.Loop() {
				loadPulled(b, name)
			}
		})
	}
}
