// Package scenario reads scenario files: loads that people write down, keep, and hold servers to.
//
// A scenario file is a txtar archive, text with more text files in it. Its section load says what
// the load is, a key and a value a line; expect says what must come of it; other sections are
// prompts, tools and traces. What stands before the first section is for people and for testscript,
// which can run the file as a test:
//
//	# Eight agents talk for three turns each.
//	exec loadstone run -url $URL .
//
//	-- load --
//	concurrency: 8
//	turns: 3
//	duration: 30s
//	-- expect --
//	error-ratio == 0
//	p95-ttft < 500ms
//
// testscript unpacks the archive into a folder, so a folder with the same files is a scenario as
// well.
package scenario

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"loadstone/harness/limit"
	"loadstone/harness/load"
	"loadstone/harness/table"
)

// A File is a scenario as it was read.
type File struct {
	Load   load.Load
	Runs   int // rounds; at least 1
	Levels []load.Level
	Until  *Until
	Search *Search // its Limits are Expect
	Expect []limit.Limit
	Serve  []string // flags for the server, where it is started for the scenario

	// Body and Header are what every request has beside what the load says.
	Body    load.Body
	Headers []load.Header

	// Notes say what a user should know of the file: what of it is left out.
	Notes []string

	set map[string]int // the line of each key of load that was given
}

// Has reports whether the file gives a key of its load section.
func (f *File) Has(key string) bool { return f.set[key] > 0 }

// Read reads a scenario file or folder. A mistake in it is an error with the file, the line and
// what is allowed there.
func Read(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		sections, err := unpacked(path)
		if err != nil {
			return nil, err
		}
		full, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		return parse(path, path, filepath.Base(full), sections)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Parse is Read for a text that is no file yet. The load's name is the path's, unless the file
// gives another.
func Parse(path string, text []byte) (*File, error) {
	text, err := plain(text)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", path, err)
	}
	a := txtar.Parse(withoutTrailingBlanks(text))
	if len(a.Files) == 0 {
		return nil, fmt.Errorf("%s:1: no section in it; a scenario has a line -- load -- and the "+
			"load after it (loadstone init writes an example)", path)
	}
	var sections []section
	line := 1 + bytes.Count(a.Comment, []byte("\n"))
	for _, f := range a.Files {
		s := section{path, f.Name, f.Data, line + 1}
		if !known(f.Name) && !strings.HasPrefix(f.Name, "script/") {
			return nil, fmt.Errorf("%s:%d: there is no section %s; sections are %s, and files of "+
				"the script's own under script/", path, line, f.Name, sectionNames)
		}
		if slices.ContainsFunc(sections, func(o section) bool { return o.name == f.Name }) {
			return nil, fmt.Errorf("%s:%d: a second section %s", path, line, f.Name)
		}
		sections = append(sections, s)
		line += 1 + bytes.Count(f.Data, []byte("\n"))
	}
	base := filepath.Base(path)
	return parse(path, filepath.Dir(path), strings.TrimSuffix(base, filepath.Ext(base)), sections)
}

const sectionNames = "load, expect, system*.txt, prompts.txt, tools.json, schema.json and " +
	"*.jsonl, trace*.json or *.csv, a trace"

func parse(path, dir, name string, sections []section) (*File, error) {
	p := &parser{File: &File{Runs: 1, set: map[string]int{}}, dir: dir, sections: sections}
	p.Load.Name = cmp.Or(clean(name), "load")
	load, err := p.find("load")
	if err != nil {
		return nil, fmt.Errorf("%s: %w; a scenario file has a line -- load -- and the load after "+
			"it, a folder a file load (loadstone init writes an example)", path, err)
	}
	if err := p.keys(load); err != nil {
		return nil, err
	}
	if err := p.readTrace(load); err != nil {
		return nil, err
	}
	for _, s := range sections {
		switch {
		case s.name == "expect":
			err = p.expect(s)
		case s.name == "tools.json":
			err = s.json(&p.Load.Tools, "a JSON array of tools")
		case s.name == "schema.json":
			err = p.schema(s)
		case s.name == "prompts.txt":
			if p.Load.Prompts = paragraphs(s.text); len(p.Load.Prompts) == 0 {
				err = s.err(0, "no prompt in it")
			}
		case strings.HasPrefix(s.name, "system"):
			p.Load.SystemPrompts = append(p.Load.SystemPrompts, strings.TrimSpace(string(s.text)))
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.defaults(load); err != nil {
		return nil, err
	}
	return p.File, nil
}

type parser struct {
	*File
	sections []section
	dir      string // in which the scenario is
	trace    string // the section that the trace is in, or its file
	unit     time.Duration
}

func (p *parser) find(name string) (section, error) {
	for _, s := range p.sections {
		if s.name == name {
			return s, nil
		}
	}
	return section{}, fmt.Errorf("no section %s in it", name)
}

func (p *parser) keys(s section) error {
	return s.lines(func(line int, text string) error {
		name, value, ok := strings.Cut(text, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok {
			return fmt.Errorf("%q is not a setting; want KEY: VALUE", text)
		}
		i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
		if i < 0 {
			return noKey(name)
		}
		if p.set[name] > 0 && name != "header" { // a request has many of them
			return fmt.Errorf("%s is given twice, first in line %d", name, p.set[name])
		}
		p.set[name] = s.line + line
		if value == "" {
			return fmt.Errorf("%s has no value; want %s", name, Keys[i].Form)
		}
		if err := Keys[i].read(p, value); err != nil {
			return fmt.Errorf("%s: %w; want %s", name, err, Keys[i].Form)
		}
		return nil
	})
}

func names() []string {
	var all []string
	for _, k := range Keys {
		all = append(all, k.Name)
	}
	return all
}

func (p *parser) expect(s section) error {
	return s.lines(func(_ int, text string) error {
		l, err := limit.Parse(text)
		if err == nil {
			p.Expect = append(p.Expect, l)
		}
		return err
	})
}

// schema reads the schema that answers hold to.
func (p *parser) schema(s section) error {
	var object map[string]json.RawMessage
	if err := s.json(&object, "a JSON schema"); err != nil {
		return err
	}
	p.Load.Schema = bytes.TrimSpace(s.text)
	return nil
}

// json reads the section into a value; what says what it should be.
func (s section) json(v any, what string) error {
	if err := json.Unmarshal(s.text, v); err != nil {
		line := 0
		var at *json.SyntaxError
		if errors.As(err, &at) {
			line = bytes.Count(s.text[:min(int(at.Offset), len(s.text))], []byte("\n"))
		}
		if of, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			err = fmt.Errorf("it is of the type %s", of.Value)
			if of.Value == "object" {
				err = errors.New("it is an object; put it between [ and ]")
			}
		}
		return s.err(line, "not %s: %w", what, err)
	}
	return nil
}

// readTrace reads the section that the trace is in, or the file or folder.
func (p *parser) readTrace(from section) error {
	if p.trace == "" {
		return nil
	}
	source, err := p.source(from)
	if _, ok := errors.AsType[*load.UnitError](err); ok {
		return fmt.Errorf("%w: add timestamps: s, or timestamps: ms where they are milliseconds", err)
	}
	if err != nil {
		return err
	}
	p.Notes = append(p.Notes, source.Notes...)
	if n := source.Skipped; n > 0 {
		all := n + len(source.Requests)
		for i := range source.Sessions {
			all += source.Sessions[i].Count
		}
		p.Notes = append(p.Notes, fmt.Sprintf("%d of %s in the trace have no answer and are left "+
			"out: there is none to ask for", n, table.Plural(all, "request")))
	}
	if source.Sessions == nil {
		p.Load.Trace = source.Requests
		return nil
	}
	p.Load.Sessions = source.Sessions
	for _, key := range []string{"concurrency", "together", "rate", "burst"} {
		if p.Has(key) || p.first().Kind == key {
			return nil
		}
	}
	if p.Load.AsRecorded = source.Timed; !source.Timed {
		p.Load.Concurrency = 1
	}
	return nil
}

// source reads the trace.
func (p *parser) source(from section) (load.Source, error) {
	s, err := p.find(p.trace)
	if err == nil {
		// Blank lines stand for those before the section, so that an error has the line of the whole
		// file.
		text := append(bytes.Repeat([]byte("\n"), s.line-1), s.text...)
		return load.ReadSource(s.file, bytes.NewReader(text), p.unit)
	}
	path := p.trace
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.dir, path)
	}
	source, failed := load.OpenSource(path, p.unit)
	if errors.Is(failed, fs.ErrNotExist) {
		return source, fmt.Errorf("%s:%d: trace: %w, and no such file or folder; want the name of "+
			"a section, or a path from the scenario file on", from.file, p.set["trace"], err)
	}
	if failed != nil {
		return source, fmt.Errorf("%s:%d: trace: %w", from.file, p.set["trace"], failed)
	}
	return source, nil
}

// seeds sets those that have no key of their own.
func (p *parser) seeds(all uint64) {
	for name, to := range p.seedKeys() {
		if !p.Has(name) {
			*to = all
		}
	}
}

func (p *parser) seedKeys() map[string]*uint64 {
	s := &p.Load.Seeds
	return map[string]*uint64{"seed.text": &s.Text, "seed.length": &s.Length,
		"seed.order": &s.Order, "seed.schedule": &s.Schedule, "seed.think": &s.Think,
		"seed.cancel": &s.Cancel}
}

// Seed gives all seeds one value, those that the file sets as well.
func (f *File) Seed(seed uint64) { f.Load.Seeds = load.OneSeed(seed) }

// Example is a scenario file to start from, with every setting explained.
//
//go:embed example.txtar
var Example string
