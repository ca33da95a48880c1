// Package planted plants bugs into this repository, one at a time, and has the tests that guard it
// find each of them. A test that finds nothing proves nothing; these prove that it looks.
//
// The bugs are data, in bugs/*.txtar: which snippet of which file is replaced, by what, and which
// test finds it. A snippet must occur in its file exactly once, so that a change of the code that
// a bug is about stops the build of the table until somebody has looked at the bug. Two kinds:
//
//   - mistakes that somebody could make (all files but record.txtar);
//   - the track record: faults that this repository had and that were mended. Each is brought back
//     by undoing its fix (record.txtar).
//
// README.md has the table of all of them.
//
//	go test ./internal/planted                       # each is found by its finder
//	go test ./internal/planted -v -run 'TestFound/lost_sync'
//	go test ./internal/planted -update               # write README.md anew
//	go test ./internal/planted -update -all          # with every finder run from its first case
//	go test ./internal/planted -plant DIR            # write the overlay, to try a bug by hand
//
// Nobody who reads the sources meets a bug: no build tag and no file of a package has one. Overlay
// makes copies of the files concerned, in which a function with a bug has its body twice, with the
// bug and without, and a variable chooses; LOADSTONE_PLANTED in the environment sets it. The go
// command compiles the copies in place of the files (go build -overlay). So one build of each test
// binary has all bugs.
package planted
