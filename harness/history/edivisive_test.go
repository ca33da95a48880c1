package history

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestOtava holds the finder to Apache Otava 0.8.0 on 200 series made from seeds and 20 real ones,
// each with four settings: the same change points, means and p. testdata/otava.py wrote the file.
func TestOtava(t *testing.T) {
	file, err := os.Open("testdata/otava.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	series, points := 0, 0
	for lines.Scan() {
		var s struct {
			Name   string
			Values []float64
			Found  []struct {
				Finder
				Points [][4]float64 // index, mean before, mean after, p
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		series++
		for _, want := range s.Found {
			got := want.Finder.Find(s.Values)
			points += len(want.Points)
			if len(got) != len(want.Points) {
				t.Errorf("%s with %+v: %d points, Otava has %d: %+v, want %+v", s.Name, want.Finder,
					len(got), len(want.Points), got, want.Points)
				continue
			}
			for i, w := range want.Points {
				if g := got[i]; float64(g.Index) != w[0] || !near(g.Before, w[1]) ||
					!near(g.After, w[2]) || !near(g.P, w[3]) {
					t.Errorf("%s with %+v: point %d is %+v, Otava has %+v", s.Name, want.Finder, i, g, w)
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if series != 220 || points < 500 {
		t.Errorf("%d series with %d change points; want 220 with 500 or more", series, points)
	}
}

// near reports whether two numbers differ by no more than the order of summing them, and an
// incomplete beta function by another method, explain.
func near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-9*math.Abs(b)+1e-300
}
