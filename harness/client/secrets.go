package client

import (
	"strconv"
	"sync"

	"loadstone/harness/load"
)

// secrets are the canaries of all who asked anything through one client, however many they are and however long ago it was:
// some ten bytes each, of which no records need to be kept.
type secrets struct {
	mu    sync.RWMutex
	known map[uint32]struct{}
}

// plant notes the canary of a prompt that is about to be sent. Later would be too late: another's answer may have it in it and
// end before its owner's does.
func (s *secrets) plant(canary string) {
	if len(canary) != load.CanaryLength {
		return
	}
	secret, err := strconv.ParseUint(canary, 16, 32)
	if err != nil || s.has(uint32(secret)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[uint32]struct{}{}
	}
	s.known[uint32(secret)] = struct{}{}
}

func (s *secrets) has(secret uint32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.known[secret]
	return ok
}

// leak is another's canary that an answer has in it, "" if it has none.
func (s *secrets) leak(answer, own string) string {
	var secret uint32 // the last hexadecimal digits
	digits := 0       // of them without anything else between
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
