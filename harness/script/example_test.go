package script_test

import (
	"testing"

	"loadstone/harness/script"
)

// In your own module, a test file like this one runs the scripts of testdata/script against a
// server of your own, which is the program myserver in them:
//
//	# testdata/script/chat.txtar
//	serve myserver -addr 127.0.0.1:0
//	ask What is two and two?
//	stdout four
//	check -q
func Example() {
	_ = func(m *testing.M) { // func TestMain
		script.Main(m, map[string]func(){"myserver": func() { /* your main */ }})
	}
	_ = func(t *testing.T) { // func TestScripts
		script.Run(t, "testdata/script")
	}
}
