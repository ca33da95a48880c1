package gate

import (
	"io"
)

// Options say how to compare.
type Options struct {
	Noise     File               // an A/A measurement; without a Reader there is none
	Filter    string             // of benchproc, such as "model:tiny"; "" everything
	Scenarios []string           // patterns as of path.Match; none: all
	Units     []string           // patterns; none: the gated ones
	All       bool               // all units
	Ignore    []string           // configuration keys that may differ
	Alpha     float64            // chance of a false alarm among all cells; 0: 0.05
	MinRuns   int                // runs that a side must have; 0: 6, with which an interval exists
	Effects   map[string]float64 // in place of the rules' own, by the figure's name
	Accepted  []Acceptance       // what was accepted, in the order of its file
	BaseID    string             // of the base: acceptances of another one count for nothing
}

// A File is benchmark results to read, and what they are called in messages.
type File struct {
	Name string
	io.Reader
}

// An input is a file that is read as one side.
type input struct {
	side string
	File
}

// The sides that files are read as. An A/A file has two sides of its own, which the configuration
// key side tells apart, and may be of several sessions.
const (
	baseSide  = "base"
	headSide  = "head"
	noiseSide = "noise"
	sideKey   = "side"
	// sessionKey says in which session a result of an A/A file was measured: when it began, where
	// that is known.
	sessionKey = "session"
	noiseBase  = noiseSide + "/" + baseSide
	noiseHead  = noiseSide + "/" + headSide
)
