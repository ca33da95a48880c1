package proc

import (
	"io"
	"os"
)

// lifeline is the variable that tells a server that its standard input is one: a pipe that Start's process holds the other end
// of and never writes to.
const lifeline = "LOADSTONE_LIFELINE"

// FollowParent ends this process when the one that has started it by Start is gone, however that ended: then the pipe does. A
// program that is started as a server calls it first of all. In one that was started otherwise it does nothing.
//
// A pipe tells it at any moment, before this process has got so far as well, on every system, and through whatever the command
// is wrapped in; Linux's signal at the parent's death would end a wrapper alone.
func FollowParent() {
	if os.Getenv(lifeline) == "" {
		return
	}
	os.Unsetenv(lifeline) // it is for this process alone
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
}
