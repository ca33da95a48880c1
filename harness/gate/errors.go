package gate

import "fmt"

// An OptionError is an option of a comparison that cannot be followed.
type OptionError struct {
	Option string // "filter", "ignore", "effect", "scenario" or "unit"
	Why    string // begins with the option's value
}

func (e *OptionError) Error() string { return e.Option + " " + e.Why }

// An EmptyError is a file without a benchmark result: it would compare well with everything.
type EmptyError struct {
	File   string
	Filter string // that let none of its results through; "" there was none in it
	Behind int    // the first line that has one behind something else; 0: none has
	Why    string // "" that is not known
}

func (e *EmptyError) Error() string {
	if e.Filter != "" {
		return fmt.Sprintf("%s: no benchmark result that the filter %s lets through", e.File,
			e.Filter)
	}
	if e.Behind > 0 {
		return fmt.Sprintf("%s: no benchmark result in it: line %d has one behind something else, "+
			"such as a time or a colour; want lines that begin with Benchmark", e.File, e.Behind)
	}
	if e.Why != "" {
		return fmt.Sprintf("%s: no benchmark result in it: %s", e.File, e.Why)
	}
	return e.File + ": no benchmark result in it"
}

// A FormatError is a file that is not a text of the benchmark format.
type FormatError struct {
	File string
	Is   string // what it is
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: it is %s; want the benchmark format, in UTF-8", e.File, e.Is)
}

// A MixedError is a file with runs that were measured under unlike conditions.
type MixedError struct{ Difference Difference }

func (e *MixedError) Error() string { return e.Difference.String() }

// An Invalid error says that the comparison cannot be decided on: unlike files, a unit without a
// direction, a disturbed load generator.
type Invalid struct{ Why string }

func (e *Invalid) Error() string { return e.Why }

// A Regression error says that the gate does not pass.
type Regression struct{ Why string }

func (e *Regression) Error() string { return e.Why }
