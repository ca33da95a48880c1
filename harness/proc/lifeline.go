package proc

import (
	"io"
	"os"
	"os/exec"
)

// lifeline is the environment variable that tells a server that its standard input is a lifeline: a
// pipe whose other end the process that called Start holds and never writes to.
const lifeline = "LOADSTONE_LIFELINE"

// FollowParent ends this process when the one that started it by Start is gone, however that one
// ended: then the pipe ends, too. A program that is started as a server calls it first of all. In a
// process that was started otherwise it does nothing.
//
// The pipe works on every system, through whatever the command is wrapped in, and also where the
// parent ended before this call. Linux's signal at the parent's death would end a wrapper alone.
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

// Tie makes a command that calls FollowParent end when this process does. It is called before the
// command starts.
func Tie(cmd *exec.Cmd) error {
	cmd.Env = append(cmd.Environ(), lifeline+"=1")
	_, err := cmd.StdinPipe() // closed once the process has ended, or when this one ends
	return err
}
