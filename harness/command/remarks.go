package command

import (
	"io"
	"strings"
	"sync"
)

// remarks is where package net/http logs what it finds of a server. It says the same of every
// connection, and a load has thousands: each kind of remark is written once.
type remarks struct {
	w io.Writer

	mu   sync.Mutex
	told map[string]bool // by their first words
}

func (r *remarks) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	kind := strings.Join(strings.Fields(text)[:min(2, len(strings.Fields(text)))], " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told[kind] {
		return len(line), nil
	}
	if r.told == nil {
		r.told = map[string]bool{}
	}
	r.told[kind] = true
	if starting, ok := strings.CutPrefix(text, "Unsolicited response received on idle HTTP channel "); ok {
		text = "the server sends more on a connection than its answers, " + starting + "; each such " +
			"connection is closed, and the next request needs another"
	}
	if _, err := io.WriteString(r.w, "note: "+text+"\n"); err != nil {
		return 0, err
	}
	return len(line), nil
}
