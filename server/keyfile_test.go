package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"loadstone/engine"
)

// TestParseKeys: what a line of a file of keys means, and which line is at fault, without the line.
func TestParseKeys(t *testing.T) {
	salt := []byte("salt")
	bare := principalOfKey("sk-1", salt)
	share := func(rate, inFlight int, pool, disk int64) Share {
		return Share{Rate: rate, Share: engine.Share{InFlight: inFlight, PoolBytes: pool, DiskBytes: disk}}
	}
	for text, want := range map[string][]Key{
		"":                                 nil,
		"# none\n\n  \n":                   nil,
		"sk-1":                             {{bare, "sk-1", Share{}}},
		"\r\nsk-1\r\n":                     {{bare, "sk-1", Share{}}},
		"ann sk-1\nann sk-2\n":             {{"ann", "sk-1", Share{}}, {"ann", "sk-2", Share{}}},
		"default sk-1":                     {{"", "sk-1", Share{}}},
		"ann abc==":                        {{"ann", "abc==", Share{}}},
		"ann sk-1 rate=60 in-flight=4":     {{"ann", "sk-1", share(60, 4, 0, 0)}},
		"ann sk-1 pool=512MiB disk=2GiB":   {{"ann", "sk-1", share(0, 0, 512<<20, 2<<30)}},
		"sk-1 disk=77":                     {{bare, "sk-1", share(0, 0, 0, 77)}},
		"sk-1 disk=5000000000":             {{bare, "sk-1", share(0, 0, 0, 5e9)}},
		"a k1 rate=1\nb k2\na k3 rate=1\n": {{"a", "k1", share(1, 0, 0, 0)}, {"b", "k2", Share{}}, {"a", "k3", share(1, 0, 0, 0)}},
	} {
		got, err := ParseKeys(text, salt)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"ann sk-secret x":                              "line 1: 3 words",
		"\nann sk-secret rate=0":                       "line 2: rate=0: want",
		"ann sk-secret rate=60MiB":                     "line 1: rate=60MiB: want",
		"ann sk-secret pool=-1":                        "line 1: pool=-1: want",
		"ann sk-secret in-flight=5000000000":           "line 1: in-flight=5000000000: want",
		"ann sk-secret pool=99999999999GiB":            "line 1: pool=99999999999GiB: want",
		"a/b sk-secret":                                `line 1: the principal's name is "a/b"`,
		"key-1 sk-secret":                              "line 1: the principal's name is",
		"ann sk-secr\u00e9t":                           "line 1: the key has characters",
		"ann sk-secret\nbob sk-secret":                 "line 2: the key is that of line 1",
		"sk-secret\nsk-secret":                         "line 2: the key is that of line 1",
		"ann sk-secret rate=1\nann sk-secret-2 rate=2": "line 2: the share is not",
	} {
		_, err := ParseKeys(text, salt)
		if _, ok := errors.AsType[*KeyError](err); !ok || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secr") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if a, b := principalOfKey("sk-1", salt), principalOfKey("sk-1", []byte("other")); a == b || strings.Contains(a, "sk") || !isName(a) {
		t.Error(a, b)
	}
}

// FuzzParseKeys reads any text as a file of API keys: each key is one of the file's words, has a
// principal, and is there once; an error has no long word of the file, since that may be a key.
func FuzzParseKeys(f *testing.F) {
	for _, text := range []string{
		"", "# none\n\n", "ann s3cret-of-ann rate=60 in-flight=4\nbare-key-0123456789\n",
		"ann k1\nann k2\ndefault k3 pool=512MiB disk=1GiB\n", "ann k1 rate=0", "a b c", "ann k rate=1\nann l",
		"key-0 x", "ann \xff", "pool=1 rate=2", "x pool=999999999GiB",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text, []byte("salt"))
		if err != nil {
			for _, word := range strings.Fields(text) {
				if len(word) > 16 && !strings.Contains(word, "=") && strings.Contains(err.Error(), word) &&
					!isFirstOfTwo(text, word) {
					t.Errorf("the error has a word of the file: %v", err)
				}
			}
			return
		}
		words, seen := strings.Fields(text), map[string]bool{}
		for _, k := range keys {
			if !slices.Contains(words, k.Secret) || seen[k.Secret] {
				t.Errorf("a key that is not in the file, or twice: %q", k.Secret)
			}
			seen[k.Secret] = true
			if k.Principal != "" && !isName(k.Principal) || k.Share.Rate < 0 || k.Share.InFlight < 0 ||
				k.Share.PoolBytes < 0 || k.Share.DiskBytes < 0 {
				t.Errorf("%+v", k)
			}
		}
	})
}

// isFirstOfTwo reports whether a word is in one that stands where a principal's name does, which
// errors show.
func isFirstOfTwo(text, word string) bool {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && strings.Contains(words[0], word) {
			return true
		}
	}
	return false
}
