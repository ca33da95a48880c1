package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"loadstone/engine"
)

// A Key is an API key. It belongs to one principal: a person, a team or a program.
type Key struct {
	Principal string // its name; "": the one that a server without keys has
	Secret    string // what the client sends
	Share     Share  // of the principal; the same with all of its keys
}

// A Share bounds what a principal may take of a server. A field that is 0 sets no bound.
type Share struct {
	engine.Share
	Rate int // requests that are taken in a minute, and at most at once
}

// A KeyError says what is wrong with a line of a key file. It does not contain the line, which may
// have a key in it.
type KeyError struct {
	Line   int
	Reason string
}

func (e *KeyError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// defaultPrincipal is the name that key files, logs and metrics have for the principal whose name
// is empty.
const defaultPrincipal = "default"

// bareKey begins the name of each principal that has only a key.
const bareKey = "key-"

// ParseKeys reads a file of keys. A line is
//
//	NAME KEY   a key of the principal NAME, which may have several: the old and the new one, for
//	           instance, while they are exchanged
//	KEY        a key that is a principal of its own
//
// Either may be followed by words for the principal's share:
//
//	rate=N       requests in a minute
//	in-flight=N  requests that wait or run
//	pool=SIZE    of the KV cache, such as 512MiB, for its requests and its idle memories
//	disk=SIZE    of its memories on disk
//
// Empty lines and lines that begin with # are ignored. NAME follows the rules of an agent's name.
// The name default stands for the principal of a server without keys, which owns the memories that
// are older than the keys. The name of the principal of a bare KEY is derived from a hash of salt
// and key, so it stays the same while the salt does. Errors are *KeyError.
func ParseKeys(text string, salt []byte) ([]Key, error) {
	var keys []Key
	seen := map[string]int{} // the line of each key
	shares := map[string]Share{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		k, reason := parseKey(words, salt)
		if first, ok := seen[k.Secret]; ok && reason == "" {
			reason = fmt.Sprintf("the key is that of line %d", first)
		}
		if share, ok := shares[k.Principal]; ok && share != k.Share && reason == "" {
			reason = "the share is not the one of an earlier line of the same principal"
		}
		shares[k.Principal] = k.Share
		if reason != "" {
			return nil, &KeyError{number, reason}
		}
		seen[k.Secret] = number
		keys = append(keys, k)
	}
	return keys, nil
}

// parseKey reads the words of one line. reason says what is wrong with it, "" if nothing is.
func parseKey(words []string, salt []byte) (k Key, reason string) {
	n := len(words)
	for n > 1 && isShare(words[n-1]) {
		n--
	}
	if reason = k.Share.parse(words[n:]); reason != "" {
		return k, reason
	}
	secret := words[n-1]
	if n > 1 {
		k.Principal = words[0]
	}
	k.Secret = secret
	switch {
	case n > 2:
		return k, fmt.Sprintf("%d words; want NAME KEY, or KEY alone, and then words like rate=60", n)
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return k, "the key has characters that are not printable ASCII"
	case k.Principal == "":
		k.Principal = principalOfKey(secret, salt)
	case !isName(k.Principal) || strings.HasPrefix(k.Principal, bareKey):
		return k, fmt.Sprintf("the principal's name is %q; want 1 to 128 of A-Z a-z 0-9 _ - . : "+
			"where the first is not - . or :, and not one that begins with %s", k.Principal, bareKey)
	case k.Principal == defaultPrincipal:
		k.Principal = ""
	}
	return k, ""
}

// shareWords are the names that the words of a share may have.
var shareWords = []string{"rate", "in-flight", "pool", "disk"}

func isShare(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && slices.Contains(shareWords, name)
}

// parse reads the words of a share, whose names are in shareWords.
func (s *Share) parse(words []string) (reason string) {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		n, ok := parseSize(value, name == "pool" || name == "disk")
		if !ok {
			return fmt.Sprintf("%s=%s: want a number of at least 1, and for pool and disk one of "+
				"bytes, or with KiB, MiB or GiB", name, value)
		}
		switch name {
		case "rate":
			s.Rate = int(n)
		case "in-flight":
			s.InFlight = int(n)
		case "pool":
			s.PoolBytes = n
		case "disk":
			s.DiskBytes = n
		}
	}
	return ""
}

// parseSize reads a positive number. A number of bytes may have a unit.
func parseSize(text string, bytes bool) (n int64, ok bool) {
	limit, shift := int64(math.MaxInt32), 0
	if bytes {
		for i, unit := range []string{"KiB", "MiB", "GiB"} {
			if number, found := strings.CutSuffix(text, unit); found {
				text, shift = number, 10*(i+1)
			}
		}
		limit = math.MaxInt64 >> shift
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n << shift, err == nil && 0 < n && n <= limit
}

// principalOfKey returns the name of the principal of a key without a name.
func principalOfKey(secret string, salt []byte) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte("loadstone principal of key\x00" + secret))
	return bareKey + hex.EncodeToString(mac.Sum(nil)[:12])
}
