package freeport

import (
	"net"
	"strings"
	"testing"
)

// No address is one that somebody listens on, or that was given before, nor are those after it.
func TestAddresses(t *testing.T) {
	seen := map[string]bool{}
	for n := range 5 {
		for range 3 {
			first := Consecutive(n + 1)
			host, port, err := net.SplitHostPort(first)
			if err != nil || host != "127.0.0.1" || !strings.HasPrefix(port, "2") && !strings.HasPrefix(port, "3") {
				t.Fatalf("%s: %v", first, err)
			}
			base, err := net.ResolveTCPAddr("tcp", first)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n + 1 {
				at := address(base.Port + i)
				if seen[at] {
					t.Errorf("%s was given before", at)
				}
				seen[at] = true
				l, err := net.Listen("tcp", at)
				if err != nil {
					t.Error(err)
					continue
				}
				defer l.Close()
			}
		}
	}
	for range each { // the others are passed over
		if a := Address(); seen[a] {
			t.Errorf("%s has a server", a)
		}
	}
}
