package scenario

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

// five are the scenarios that every baseline is made of. They are scenario files like any other.
//
//go:embed five/*.txtar
var five embed.FS

// FiveNames are the names of the five scenarios that every baseline is made of, in the order in
// which they run.
var FiveNames = []string{"single-cold", "single-cached", "concurrent-5", "concurrent-10",
	"pool-pressure"}

// agents are the scenarios of the suite agents.
//
//go:embed agents/*.txtar
var agents embed.FS

// AgentNames are the names of the scenarios of the suite agents, in the order in which they run.
var AgentNames = []string{"coding-agent", "research", "support-chat", "short-tools"}

// Names are those of all scenarios that are embedded.
func Names() []string { return slices.Concat(FiveNames, AgentNames) }

// Text is the scenario file of one that is embedded, false where there is none of that name.
func Text(name string) (string, bool) {
	if text, ok := fiveText(name); ok {
		return text, true
	}
	text, err := agents.ReadFile(path.Join("agents", name+".txtar"))
	return string(text), err == nil
}

// Named is an embedded scenario.
func Named(name string) (*File, error) {
	text, ok := Text(name)
	if !ok {
		return nil, fmt.Errorf("unknown scenario %q; known are %s", name, strings.Join(Names(), ", "))
	}
	return Parse(name+".txtar", []byte(text))
}

// fiveText is the scenario file of one of the five, false where there is none of that name.
func fiveText(name string) (string, bool) {
	text, err := five.ReadFile(path.Join("five", name+".txtar"))
	return string(text), err == nil
}

// Five are the five scenarios that every baseline is made of, in the order in which they run, or
// those of the given names.
//
// In the hot ones an agent keeps its conversation for a whole run: the first turn fills its cache
// and is not measured, every round is its next turn, with all that was asked and answered before in
// the prompt. That is what agents do, and what makes a hit rate mean something.
func Five(names ...string) ([]File, error) {
	if len(names) == 0 {
		names = FiveNames
	}
	var all []File
	for _, name := range names {
		text, ok := fiveText(name)
		if !ok {
			return nil, fmt.Errorf("unknown scenario %q; known are %s", name, strings.Join(FiveNames, ", "))
		}
		f, err := Parse(name+".txtar", []byte(text))
		if err != nil {
			return nil, err
		}
		all = append(all, *f)
	}
	return all, nil
}
