package buckets

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"loadstone/internal/objects"
)

// longestName is how many bytes the name of an object may have.
const longestName = 200

var names = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)

// checkName refuses names that some store, or some proxy in front of one, would change on the way.
func checkName(name string) error {
	dots := false
	for segment := range strings.SplitSeq(name, "/") {
		dots = dots || segment == "." || segment == ".."
	}
	if len(name) > longestName || dots || !names.MatchString(name) {
		return fmt.Errorf("%q is no name of an object: want up to %d letters, digits and - . _ "+
			"with slashes in between, and neither . nor .. alone between two of them", name, longestName)
	}
	return nil
}

// checkSize refuses objects that are too large.
func checkSize(name string, data []byte) error {
	if len(data) > objects.MaxObject {
		return fmt.Errorf("%s has %d bytes; an object may have %d", name, len(data), objects.MaxObject)
	}
	return nil
}

// none is the error of an object that is not there.
func none(name string) error { return &fs.PathError{Op: "get", Path: name, Err: fs.ErrNotExist} }

// changed is the error of a write or a deletion whose condition does not hold.
func changed(name string) error { return fmt.Errorf("%s: %w", name, objects.ErrChanged) }
