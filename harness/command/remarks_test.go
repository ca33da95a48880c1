package command

import (
	"log"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// A server that sends too much does so on every connection, and is told of once.
func TestRemarks(t *testing.T) {
	var b strings.Builder
	l := log.New(&remarks{w: &b}, "", 0)
	for range 3 {
		l.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "0\r\n\r\n", nil)
		l.Print("http: something else")
	}
	l.Print("")
	assert.Equal(t, b.String(), `note: the server sends more on a connection than its answers, starting with "0\r\n\r\n"; err=<nil>; each such connection is closed, and the next request needs another
note: http: something else
note: `+"\n")
}
