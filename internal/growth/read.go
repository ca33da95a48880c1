package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt" // the format of go test -bench; as in harness
)

// A scale is what grows, such as agents, and what it costs.
type scale struct {
	name   string // in lower case, as in BenchmarkGrowthAgents
	size   string // what its sizes count: agents, files
	series []*series
}

// A series is one cost by size.
type series struct {
	what   string // what is done
	unit   string // as benchfmt tidies it: sec/op
	before bool   // as it was before something was mended
	points []point
}

type point struct {
	size  int
	value float64 // the smallest that was measured
}

// exponent returns the slope of the last two points.
func (s *series) exponent() float64 {
	n := len(s.points)
	if n < 2 || s.points[n-2].value <= 0 {
		return math.NaN()
	}
	a, b := s.points[n-2], s.points[n-1]
	return math.Log(b.value/a.value) / math.Log(float64(max(b.size, 1))/float64(max(a.size, 1)))
}

// read reads the results in a folder.
func read(folder string) (scales []*scale, err error) {
	for _, name := range []string{"now.txt", "before.txt"} {
		f, err := os.Open(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) && name == "before.txt" {
			continue
		}
		if err != nil {
			return nil, err
		}
		r := benchfmt.NewReader(f, name)
		for err == nil && r.Scan() {
			if result, ok := r.Result().(*benchfmt.Result); ok {
				scales, err = add(scales, result, name == "before.txt")
			}
		}
		f.Close()
		if err := cmp.Or(err, r.Err()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, s := range scales {
		for _, x := range s.series {
			slices.SortFunc(x.points, func(a, b point) int { return a.size - b.size })
		}
	}
	return scales, nil
}

// layers are what is written before what the benchmarks of a package do.
var layers = map[string]string{"/server": "HTTP: ", "/engine/internal/snapshot": "store: "}

// add adds one result to those of its scale.
func add(scales []*scale, r *benchfmt.Result, before bool) ([]*scale, error) {
	base, parts := r.Name.Parts()
	name, ok := strings.CutPrefix(string(base), "Growth")
	if !ok || len(parts) < 2 {
		return scales, nil
	}
	what := strings.TrimPrefix(string(parts[0]), "/what=")
	size, number, ok := strings.Cut(strings.TrimPrefix(string(parts[1]), "/"), "=")
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		return nil, fmt.Errorf("%s: want /what=WHAT/SIZE=NUMBER", r.Name)
	}
	name = strings.ToLower(name)
	for pkg, layer := range layers {
		if strings.HasSuffix(r.GetConfig("pkg"), pkg) { // whatever the module's path
			what = layer + what
		}
	}
	i := slices.IndexFunc(scales, func(s *scale) bool { return s.name == name })
	if i < 0 {
		i = len(scales)
		scales = append(scales, &scale{name: name, size: size})
	}
	for _, v := range r.Values {
		if v.Unit != "B/op" && v.Unit != "allocs/op" {
			scales[i].add(&series{what: what, unit: v.Unit, before: before}, point{n, v.Value})
		}
	}
	return scales, nil
}

// add adds a point to the series that has the same key.
func (s *scale) add(key *series, p point) {
	i := slices.IndexFunc(s.series, func(x *series) bool {
		return x.what == key.what && x.unit == key.unit && x.before == key.before
	})
	if i < 0 {
		i = len(s.series)
		s.series = append(s.series, key)
	}
	x := s.series[i]
	j := slices.IndexFunc(x.points, func(q point) bool { return q.size == p.size })
	if j < 0 {
		x.points = append(x.points, p)
	} else if better := x.points[j].value; p.value < better != (x.unit == "req/s") {
		x.points[j] = p
	}
}
