package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// A component is a third party's software in an archive.
type component struct {
	name     string // as its package manager calls it
	version  string // "" unknown: it is part of another component
	purl     string // package URL
	licences []string
	texts    []text   // what its licences want to be shown
	files    []string // in the archive; none: it is part of the program
	note     string   // what NOTICES.txt says of it besides
}

// A text is a licence or a notice, and the file that has it.
type text struct {
	file string
	body []byte
}

// known lists the licences under which software may be in an archive, as SPDX calls them. They
// allow a program under the MIT licence to be linked with it and to be sold with it. The last three
// are of libraries that come as files of their own, unchanged.
var known = []string{"MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0",
	"BSD-3-Clause-Open-MPI", "GPL-3.0-or-later WITH GCC-exception-3.1", "LGPL-2.1-or-later"}

// minCoverage is how much of a licence file, in percent, must be text of licences that are known.
const minCoverage = 75

// licencesOf returns the licences in a file, as SPDX calls them, or an error if it is no licence
// that we know and allow.
func licencesOf(t text) ([]string, error) {
	found := licensecheck.Scan(t.body)
	var ids []string
	for _, m := range found.Match {
		if !slices.Contains(ids, m.ID) {
			ids = append(ids, m.ID)
		}
	}
	if found.Percent < minCoverage {
		return nil, fmt.Errorf("%s: %.0f %% of it is a licence that is known (%s); read it, and if it "+
			"allows the release, add it to internal/release", t.file, found.Percent,
			strings.Join(ids, ", "))
	}
	for _, id := range ids {
		if !slices.Contains(known, id) {
			return nil, fmt.Errorf("%s: the licence %s is not among those of internal/release: %s",
				t.file, id, strings.Join(known, ", "))
		}
	}
	return ids, nil
}

// check returns an error unless everything is known that a release must state of the component.
func (c *component) check() error {
	if len(c.licences) == 0 || len(c.texts) == 0 {
		return fmt.Errorf("%s %s has no licence that was found", c.name, c.version)
	}
	for _, id := range c.licences {
		if !slices.Contains(known, id) {
			return fmt.Errorf("%s: the licence %s is not among those of internal/release: %s",
				c.name, id, strings.Join(known, ", "))
		}
	}
	return nil
}

// notices is the text of NOTICES.txt.
func notices(components []component) []byte {
	var b bytes.Buffer
	b.WriteString("Loadstone is under the MIT licence, in the file LICENSE. Software of others is " +
		"in this archive:\n\n")
	for _, c := range components {
		fmt.Fprintf(&b, "  %s: %s\n", strings.TrimSpace(c.name+" "+c.version),
			strings.Join(c.licences, ", "))
		for _, f := range c.files {
			fmt.Fprintf(&b, "      %s\n", f)
		}
		if c.note != "" {
			fmt.Fprintf(&b, "      %s\n", c.note)
		}
	}
	for _, c := range components {
		for _, t := range c.texts {
			fmt.Fprintf(&b, "\n%s\n%s: %s\n%s\n\n", rule, c.name, t.file, rule)
			b.Write(bytes.TrimSpace(t.body))
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

var rule = strings.Repeat("=", 80)
