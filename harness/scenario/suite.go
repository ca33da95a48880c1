package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// A Suite is a set of embedded scenarios that are measured together.
type Suite struct {
	Name   string
	About  string
	Expect []string // what is held to; nil: the targets of a baseline
	Names  []string // of its scenarios
}

// Suites are all there are; the first is the default.
var Suites = []Suite{
	{"five", "the scenarios that every baseline is made of", nil, FiveNames},
	{"agents", "agents at work, in sessions of their true shape",
		[]string{"error-ratio == 0", "failed-job-ratio == 0", "ceiling-share >= 90%"}, AgentNames},
}

// SuiteNames are the suites' names.
func SuiteNames() []string {
	var all []string
	for _, s := range Suites {
		all = append(all, s.Name)
	}
	return all
}

// FindSuite is the suite of that name.
func FindSuite(name string) (*Suite, error) {
	i := slices.IndexFunc(Suites, func(s Suite) bool { return s.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("unknown suite %q; known are %s", name, strings.Join(SuiteNames(), ", "))
	}
	return &Suites[i], nil
}

// IsAgents reports whether a scenario is of agents, whose sessions are jobs.
func IsAgents(name string) bool { return slices.Contains(AgentNames, name) }
