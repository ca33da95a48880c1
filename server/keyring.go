package server

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"loadstone/engine"
)

// A caller is the sender of a request, as its key tells.
type caller struct {
	principal string // whose agents, limits and shares are meant; "": the only one, or the default
	rate      int    // requests that the principal may send in a minute; 0: any number
	seesNames bool   // may know the names of principals and agents
	operator  bool   // has the operator's key, which belongs to no principal
}

// A keyring holds the keys of a server as digests, with a salt that only the process knows. A
// comparison takes the same time whatever a client sends. A digest that is printed by accident is
// of no use to a reader.
type keyring struct {
	salt    [32]byte
	digests [][sha256.Size]byte
	callers []caller          // by index of digests
	names   map[string]string // of principals, by their ids in the engine
	shares  map[string]Share  // by principal
	keyless bool              // no key is needed
	guarded bool              // there is an operator's key
}

// errSameKey refuses a list of keys in which one key has two owners.
var errSameKey = errors.New("one key belongs to two principals, or to one and to the operator")

// newKeyring makes a keyring of the principals' keys and the operator's.
func newKeyring(keys []Key, operators []string) (*keyring, error) {
	k := &keyring{keyless: len(keys) == 0, guarded: len(operators) > 0, names: map[string]string{},
		shares: map[string]Share{}}
	rand.Read(k.salt[:])
	owners := map[string]caller{}
	add := func(secret string, c caller) error {
		if old, ok := owners[secret]; ok {
			if old != c {
				return errSameKey
			}
			return nil
		}
		owners[secret] = c
		k.digests, k.callers = append(k.digests, k.digest(secret)), append(k.callers, c)
		return nil
	}
	for _, key := range keys {
		c := caller{principal: key.Principal, rate: key.Share.Rate}
		if err := add(key.Secret, c); err != nil {
			return nil, err
		}
		k.shares[key.Principal] = key.Share
		k.names[engine.PrincipalID(key.Principal)] = cmp.Or(key.Principal, defaultPrincipal)
	}
	for _, secret := range operators {
		if err := add(secret, caller{seesNames: true, operator: true}); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *keyring) digest(secret string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, k.salt[:])
	mac.Write([]byte(secret))
	return [sha256.Size]byte(mac.Sum(nil))
}

// find returns the caller to whom a key belongs. It always compares the key with all of them.
func (k *keyring) find(secret string) (caller, bool) {
	digest, at := k.digest(secret), -1
	for i := range k.digests {
		same := subtle.ConstantTimeCompare(digest[:], k.digests[i][:])
		at = subtle.ConstantTimeSelect(same, i, at)
	}
	if at < 0 {
		return caller{}, false
	}
	return k.callers[at], true
}

// principalName returns the name of the principal with an id in the engine, or the id itself if
// the principal no longer has a key.
func (s *Server) principalName(id string) string {
	return cmp.Or(s.keys.Load().names[id], id)
}

// SetKeys replaces all keys, of principals and of the operator, at once. Later requests with an
// old key are refused; answers that are under way are not interrupted. A server that demands keys
// keeps demanding them: SetKeys then fails if there are none.
func (s *Server) SetKeys(keys []Key, operators []string) error {
	ring, err := newKeyring(keys, operators)
	if err != nil {
		return err
	}
	if old := s.keys.Load(); old != nil && !old.keyless && ring.keyless {
		return errors.New("there are no keys: a server that needs one would let nobody in")
	}
	s.keys.Store(ring)
	if b := s.backend.Load(); b != nil {
		return ring.share(b.engine)
	}
	return nil
}

// share tells the engine what each principal may have of it.
func (k *keyring) share(e *engine.Engine) error {
	shares := map[string]engine.Share{}
	for principal, s := range k.shares {
		shares[principal] = s.Share
	}
	return e.SetShares(shares)
}
