package gate

import (
	"slices"
	"strings"
)

// scenario is the short name of a benchmark: its scenario where its name has one, else the whole
// name.
func scenario(name string) string {
	_, rest, ok := strings.Cut(name, "/scenario=")
	if !ok {
		return name
	}
	rest, _, _ = strings.Cut(rest, "/")
	return rest
}

// isLevel reports whether a part of a name is the level of a sweep.
func isLevel(part string) bool {
	return strings.HasPrefix(part, "rate=") || strings.HasPrefix(part, "concurrency=")
}

// partsOf are the parts of a benchmark's name behind its scenario, such as agents=4.
func partsOf(name string) []string {
	_, rest, ok := strings.Cut(name, "/scenario=")
	if !ok {
		return nil
	}
	return strings.Split(rest, "/")[1:]
}

// nameParts are the parts of a benchmark's name by their keys.
func nameParts(name string) map[string]string {
	parts := map[string]string{}
	for _, part := range partsOf(name) {
		key, value, _ := strings.Cut(part, "=")
		parts[key] = value
	}
	return parts
}

// scenarioAndLevel is the scenario of a benchmark with the level of its sweep, "" where the name
// has no scenario.
func scenarioAndLevel(name string) string {
	if !strings.Contains(name, "/scenario=") {
		return ""
	}
	label := scenario(name)
	for _, part := range partsOf(name) {
		if isLevel(part) {
			label += " " + part
		}
	}
	return label
}

// label gives every benchmark the name by which people tell it from the others: its scenario, with
// the level of a sweep, and with the parts of its name that differ where there are several of it.
func (p *pool) label() {
	groups := map[string][]string{}
	for _, name := range p.names() {
		group := scenarioAndLevel(name)
		if group == "" {
			group = name
		}
		groups[group] = append(groups[group], name)
	}
	for group, names := range groups {
		for _, name := range names {
			label := group
			for _, part := range partsOf(name) {
				shared := !slices.ContainsFunc(names, func(other string) bool {
					return !slices.Contains(partsOf(other), part)
				})
				if !shared && !isLevel(part) {
					label += " " + part
				}
			}
			p.labels[name] = label
		}
	}
}
