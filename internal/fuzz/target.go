package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// fromOutside are the targets that make up what a server, a load or a model's folder may get from
// others.
var fromOutside = []string{
	"engine/checkpoint/FuzzOpen",          // safetensors
	"engine/gguf/FuzzImport",              // GGUF
	"engine/tokenizer/FuzzLoad",           // tokenizer.json
	"engine/tokenizer/FuzzVocabulary",     // tokenizer.json
	"engine/tokenizer/FuzzTemplate",       // templates
	"engine/internal/snapshot/FuzzImport", // cache files
	"engine/internal/snapshot/FuzzMemory", // cache files
	"harness/client/FuzzAnswer",           // SSE
	"harness/client/FuzzEvents",           // SSE
	"harness/scenario/FuzzParse",          // scenario files
	"server/FuzzAgentRequest",             // JSON bodies
	"server/FuzzChatRequest",              // JSON bodies
	"server/FuzzCompletionRequest",        // JSON bodies
	"server/FuzzMessagesRequest",          // JSON bodies
	"server/FuzzResponsesRequest",         // JSON bodies
	"server/FuzzTokenizeRequest",          // JSON bodies
}

// A target is a fuzz target and how long it runs.
type target struct {
	dir, name string
	time      time.Duration
}

func (t target) String() string { return t.dir + "/" + t.name }

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// found returns all targets in a folder, in order.
func found(root string) (all []target, err error) {
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if name := e.Name(); err == nil && e.IsDir() && path != root &&
			(name[0] == '.' || name == "testdata" || name == "node_modules") {
			return fs.SkipDir
		}
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declared.FindAllSubmatch(text, -1) {
			all = append(all, target{dir: filepath.ToSlash(dir), name: string(m[1])})
		}
		return err
	})
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return all, err
}

// targets returns those in a folder that are to run, in their order: each time long, but those from
// outside, if that is not 0, for so long and first. With rotate another one is first each day.
func targets(root, only string, each, outside time.Duration, rotate bool) ([]target, error) {
	all, err := found(root)
	if err != nil {
		return nil, err
	}
	isOutside := func(t target) bool { return slices.Contains(fromOutside, t.String()) }
	for _, name := range fromOutside {
		if !slices.ContainsFunc(all, func(t target) bool { return t.String() == name }) {
			return nil, fmt.Errorf("fromOutside names %s, and there is none", name)
		}
	}
	wanted := isOutside
	if only != "outside" {
		pattern, err := regexp.Compile(only)
		if err != nil {
			return nil, err
		}
		wanted = func(t target) bool { return pattern.MatchString(t.String()) }
	}
	var first, then []target
	for _, t := range all {
		switch t.time = each; {
		case !wanted(t):
		case outside > 0 && isOutside(t):
			t.time = outside
			first = append(first, t)
		default:
			then = append(then, t)
		}
	}
	if len(first)+len(then) == 0 {
		return nil, fmt.Errorf("no fuzz target matches %s", only)
	}
	if rotate {
		first, then = rotated(first), rotated(then)
	}
	return append(first, then...), nil
}

// rotated has another target first each day.
func rotated(all []target) []target {
	if len(all) == 0 {
		return nil
	}
	at := time.Now().YearDay() * 7 % len(all)
	return slices.Concat(all[at:], all[:at])
}
