package client

import (
	"strconv"
	"sync"

	"loadstone/harness/load"
)

// secrets are the canaries of the agents that asked last through one client: of a million at least,
// which are ten MiB, and of two million at most. An agent that asks again counts as new. What a
// server still has of an agent that was silent for longer, in a prefix or a slot, has been another
// agent's a million times since.
type secrets struct {
	mu         sync.RWMutex
	young, old map[uint32]struct{} // old: those of the generation before the young
}

// generation is how many canaries are young before they become old.
const generation = 1 << 20

// add notes the canary of a prompt that is about to be sent. After the answer would be too late:
// another agent's answer may contain it and end earlier.
func (s *secrets) add(canary string) {
	if len(canary) != load.CanaryLength {
		return
	}
	secret, err := strconv.ParseUint(canary, 16, 32)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[uint32(secret)]; ok {
		return
	}
	if s.young == nil || len(s.young) == generation {
		s.young, s.old = map[uint32]struct{}{}, s.young
	}
	s.young[uint32(secret)] = struct{}{}
}

func (s *secrets) has(secret uint32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.young[secret]; ok {
		return true
	}
	_, ok := s.old[secret]
	return ok
}

// leak is the canary of another agent that an answer contains, "" if it contains none.
func (s *secrets) leak(answer, own string) string {
	var secret uint32 // the last hexadecimal digits
	digits := 0       // how many of them stand in a row
	for i := range len(answer) {
		c := answer[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			digits = 0
			continue
		}
		secret = secret<<4 | uint32(c)
		if digits++; digits >= load.CanaryLength && s.has(secret) {
			if word := answer[i+1-load.CanaryLength : i+1]; word != own {
				return word
			}
		}
	}
	return ""
}
