package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Key lets one principal in: a person, a team or a program whose agents are its own.
type Key struct {
	Principal string // its name; "": the one that a server without keys has
	Secret    string // what the client sends
}

// A KeyError says what is wrong with a line of a file of keys. It does not contain the line, which
// may have a key in it.
type KeyError struct {
	Line   int
	Reason string
}

func (e *KeyError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// defaultPrincipal is the name by which a file of keys calls the principal without a name.
const defaultPrincipal = "default"

// bareKey begins the name of a principal that has a key and was given no name.
const bareKey = "key-"

// ParseKeys reads a file of keys. A line is
//
//	NAME KEY   a key of the principal NAME, which may have several: the old and the new one, for
//	           instance, while they are exchanged
//	KEY        a key that is a principal of its own
//
// and lines that are empty or begin with # mean nothing. NAME is made like an agent's name; default
// is the principal that a server without keys has, to whom memories belong that are older than the
// keys. The principal of a bare KEY is named by a hash of salt and key, so that it is the same as
// long as the salt is. Errors are *KeyError.
func ParseKeys(text string, salt []byte) ([]Key, error) {
	var keys []Key
	seen := map[string]int{} // the line of each key
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
	secret := words[0]
	if len(words) > 1 {
		k.Principal, secret = words[0], words[1]
	}
	k.Secret = secret
	switch {
	case len(words) > 2:
		return k, fmt.Sprintf("%d words; want NAME KEY, or KEY alone", len(words))
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

// principalOfKey names the principal of a key that has no other name.
func principalOfKey(secret string, salt []byte) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte("loadstone principal of key\x00" + secret))
	return bareKey + hex.EncodeToString(mac.Sum(nil)[:12])
}
