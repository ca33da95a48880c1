package command

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loadstone/harness/scenario"
)

// TestOlderResults: results of every form so far, as earlier versions wrote them (see
// testdata/formats/make), are read by every command that reads any: report makes everything of them
// again, verify holds them to themselves, compare and gate set them beside the newest.
func TestOlderResults(t *testing.T) {
	all, err := filepath.Glob("testdata/formats/results/*")
	if err != nil || len(all) < 5 {
		t.Fatalf("%v, %v", all, err)
	}
	newest := all[len(all)-1]
	for _, dir := range all {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "results")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			again := filepath.Join(t.TempDir(), "again")
			code, _, stderr := loadstone(t, "", "report", "-out", again, copied)
			if code != exitOK {
				t.Fatalf("report: %d, %s", code, stderr)
			}
			for _, name := range []string{"report.html", "baseline.md", "bench.txt", "results.json"} {
				if info, err := os.Stat(filepath.Join(again, name)); err != nil || info.Size() == 0 {
					t.Errorf("report made no %s: %v", name, err)
				}
			}
			wants := "\nverified: "
			switch dir {
			case all[0]: // of the first day, which wrote no results.json
				wants = "DIFFERS results.json: it is missing"
			case newest: // its manifest lists files for people, too; TestOlderBundle has them
				wants = "DIFFERS report.html: it is missing"
			}
			code, stdout, stderr := loadstone(t, "", "verify", copied)
			if (code == exitOK) != strings.HasPrefix(wants, "\nverified") || !strings.Contains(stdout, wants) {
				t.Errorf("verify: %d, want %q\n%s%s", code, wants, stdout, stderr)
			}
			if code, stdout, stderr = loadstone(t, "", "compare", copied, newest); code != exitOK ||
				!strings.Contains(stdout, " cells: ") {
				t.Errorf("compare: %d\n%s%s", code, stdout, stderr)
			}
			// It decides, whatever it is that it decides of six runs.
			code, stdout, stderr = loadstone(t, "", "gate", "-base", copied, "-head", newest)
			if code != exitOK && code != exitFailed || !strings.Contains(stdout, " cells: ") ||
				strings.Contains(stdout, "missing") || strings.Contains(stdout, "too few") {
				t.Errorf("gate: %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestOlderBundle: what an earlier version packed is verified, every figure of it.
func TestOlderBundle(t *testing.T) {
	all, err := filepath.Glob("testdata/formats/bundles/*.zip")
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, name := range all {
		code, stdout, stderr := loadstone(t, "", "verify", name)
		if code != exitOK || !strings.Contains(stdout, "\nverified: ") {
			t.Errorf("%s: %d\n%s%s", name, code, stdout, stderr)
		}
	}
}

// TestUnknownResults: results of a format that is not known are refused by its name.
func TestUnknownResults(t *testing.T) {
	all, err := filepath.Glob("testdata/formats/results/*")
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	dir := filepath.Join(t.TempDir(), "results")
	if err := os.CopyFS(dir, os.DirFS(all[len(all)-1])); err != nil {
		t.Fatal(err)
	}
	for file, format := range map[string]string{"results.json": "loadstone-results/", "manifest.json": "loadstone-manifest/"} {
		name := filepath.Join(dir, file)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(text, []byte(format)) + len(format)
		later := slices.Replace(slices.Clone(text), i, i+1, '9')
		if err := os.WriteFile(name, later, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"report", dir}, {"verify", dir}} {
			if args[0] == "report" && file == "manifest.json" { // it writes another one
				continue
			}
			code, _, stderr := loadstone(t, "", args...)
			if code == exitOK || !strings.Contains(stderr, format+"9") {
				t.Errorf("%v of %s9: %d, %s", args[0], format, code, stderr)
			}
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOlderFloor: a noise floor of an earlier version is one of the gate's.
func TestOlderFloor(t *testing.T) {
	all, err := filepath.Glob("testdata/formats/results/*")
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	newest := all[len(all)-1]
	code, stdout, stderr := loadstone(t, "", "gate", "-base", newest, "-head", newest, "-floor",
		"testdata/formats/floor/13c5c2e.floor")
	if code != exitOK || !strings.Contains(stdout, "noise floor testdata/") {
		t.Errorf("gate: %d\n%s%s", code, stdout, stderr)
	}
}

// TestOlderScenarios: the examples of earlier versions are scenarios still.
func TestOlderScenarios(t *testing.T) {
	all, err := filepath.Glob("testdata/formats/scenarios/*/*.txtar")
	if err != nil || len(all) < 16 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, name := range all {
		if _, err := scenario.Read(name); err != nil {
			t.Error(err)
		}
	}
}
