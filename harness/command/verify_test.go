package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstone/harness/record"
	"loadstone/harness/verify"
)

// measured is a real bundle: a small bench of the embedded model, signed.
func measured(t *testing.T, flags ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	out, key := filepath.Join(dir, "out"), filepath.Join(dir, "key")
	if code, _, stderr := loadstone(t, "", "sign", "-new", key); code != 0 {
		t.Fatal(stderr)
	}
	args := append([]string{"bench", "-q", "-n", "2", "-runs", "1", "-max-tokens", "4", "-out", out, "-sign", key,
		"-zip", filepath.Join(dir, "out.zip")}, flags...)
	if code, _, stderr := loadstone(t, "", args...); code != 0 {
		t.Fatal(stderr)
	}
	return dir
}

// An edit changes the files of a bundle, and says in which it did.
type edit struct {
	name  string
	apply func(rng *rand.Rand, files map[string][]byte) (changed []string)
}

// pick draws a file that is not empty.
func pick(rng *rand.Rand, files map[string][]byte) string {
	for {
		names := slices.Sorted(maps.Keys(files))
		if name := names[rng.IntN(len(names))]; len(files[name]) > 0 {
			return name
		}
	}
}

// inOne is an edit of one file.
func inOne(name string, change func(rng *rand.Rand, text []byte) []byte) edit {
	return edit{name, func(rng *rand.Rand, files map[string][]byte) []string {
		file := pick(rng, files)
		before := files[file]
		for bytes.Equal(files[file], before) {
			files[file] = change(rng, slices.Clone(before))
		}
		return []string{file}
	}}
}

var edits = []edit{
	inOne("flip", func(rng *rand.Rand, text []byte) []byte {
		text[rng.IntN(len(text))] ^= byte(1 << rng.IntN(8))
		return text
	}),
	inOne("digit", func(rng *rand.Rand, text []byte) []byte { // what a forger would do
		for range 10_000 {
			if i := rng.IntN(len(text)); '0' <= text[i] && text[i] <= '9' {
				text[i] = '0' + (text[i]-'0'+byte(1+rng.IntN(9)))%10
				return text
			}
		}
		return append(text, '0')
	}),
	inOne("insert", func(rng *rand.Rand, text []byte) []byte {
		return slices.Insert(text, rng.IntN(len(text)+1), byte(rng.IntN(256)))
	}),
	inOne("delete", func(rng *rand.Rand, text []byte) []byte {
		i := rng.IntN(len(text))
		return slices.Delete(text, i, min(len(text), i+1+rng.IntN(100)))
	}),
	inOne("truncate", func(rng *rand.Rand, text []byte) []byte { return text[:rng.IntN(len(text))] }),
	{"swap", func(rng *rand.Rand, files map[string][]byte) []string {
		for {
			a, b := pick(rng, files), pick(rng, files)
			if !bytes.Equal(files[a], files[b]) {
				files[a], files[b] = files[b], files[a]
				return []string{a, b}
			}
		}
	}},
	{"add", func(rng *rand.Rand, files map[string][]byte) []string {
		name := fmt.Sprintf("notes-%d.txt", rng.IntN(1000))
		files[name] = []byte("a file more")
		return []string{name}
	}},
	{"remove", func(rng *rand.Rand, files map[string][]byte) []string {
		name := pick(rng, files)
		delete(files, name)
		return []string{name}
	}},
}

// A thousand random edits over all files of a real bundle: each is found out, and each changed file
// is named. The bundle itself holds.
func TestThousandEdits(t *testing.T) {
	dir := measured(t, "-scenario", "single-cold,single-cached")
	b, err := verify.Open(filepath.Join(dir, "out.zip"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := verify.ReadPublicKey(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	o := verify.Options{Key: public, Program: programSum()}
	if found, err := b.Verify(o); err != nil || !found.Verified {
		t.Fatalf("the bundle as it is: %+v, %v", found, err)
	}
	start := time.Now()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		files := maps.Clone(b.Files())
		e := edits[i%len(edits)]
		changed := e.apply(rng, files)
		found, err := verify.NewBundle("edited", files).Verify(o)
		if err != nil { // refused: of a format that is not known, or no results
			if !slices.ContainsFunc(changed, func(name string) bool { return strings.Contains(err.Error(), name) }) {
				t.Errorf("%s of %v: %v", e.name, changed, err)
			}
			continue
		}
		for _, name := range changed {
			// Without its manifest a log has nothing that speaks for it.
			lost := slices.Contains(changed, verify.ManifestFile) && strings.HasSuffix(name, ".log")
			if !lost && !slices.ContainsFunc(found.Differences, func(d verify.Difference) bool { return d.File == name }) {
				t.Errorf("%s of %v: %s is not named among %v", e.name, changed, name, found.Differences)
			}
		}
	}
	t.Logf("1000 edits in %v", time.Since(start))
}

// Whoever edits a file and the manifest with it, without a key, is found out where a figure is
// touched: everything that is made of the records is made again. results.json alone has what the
// records do not say; of that only the signature speaks.
func TestEditsWithManifest(t *testing.T) {
	dir := measured(t, "-scenario", "single-cached")
	b, err := verify.Open(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	o := verify.Options{Program: programSum()}
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 200
	unseen := 0
	for i := range n {
		files := maps.Clone(b.Files())
		delete(files, verify.SignatureFile)
		delete(files, verify.ManifestFile)
		for _, name := range []string{"access.log", "server.log"} {
			delete(files, name)
		}
		e := edits[i%5] // those in one file
		before := maps.Clone(files)
		changed := e.apply(rng, files)
		files[verify.ManifestFile] = verify.NewManifest(files, false).Text()
		found, err := verify.NewBundle("edited", files).Verify(o)
		if err != nil || !found.Verified {
			continue
		}
		unseen++
		was, is := before[changed[0]], files[changed[0]]
		at := firstDifferent(was, is)
		t.Logf("%s of %s at byte %d is not seen: %.60q", e.name, changed[0], at, was[max(0, at-30):])
		if changed[0] != "results.json" || !reflect.DeepEqual(figuresOf(t, was), figuresOf(t, is)) {
			t.Errorf("an edit of a figure with the manifest was not found out: %s", changed[0])
		}
	}
	// Of the edits of one measurement and another one to three are not, as it falls out.
	if unseen > n/10 {
		t.Errorf("%d of %d edits with the manifest were not found out", unseen, n)
	}
}

// figuresOf is what results.json has that is made of the records.
func figuresOf(t *testing.T, results []byte) (all struct {
	Targets, Limits, Violations json.RawMessage
	Scenarios                   []struct {
		All   figures
		ByRun []figures `json:"by_run"`
	}
}) {
	t.Helper()
	if err := json.Unmarshal(results, &all); err != nil || len(all.Scenarios) == 0 ||
		len(all.Scenarios[0].All.Figures) == 0 || len(all.Scenarios[0].ByRun) == 0 {
		t.Fatalf("%v: %s", err, results)
	}
	return all
}

type figures struct {
	Outcomes, Figures, Times json.RawMessage
	Elapsed                  json.RawMessage `json:"elapsed_ns"`
	Counters                 struct{ Client json.RawMessage }
}

func firstDifferent(a, b []byte) int {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return at
}

// Whoever changes a record and makes all files of it anew has results that agree with themselves:
// only a signature shows it.
func TestConsistentLie(t *testing.T) {
	dir := measured(t, "-scenario", "single-cold")
	out := filepath.Join(dir, "out")
	path := filepath.Join(out, "records.jsonl")
	records, err := readLines(path, record.Read)
	if err != nil {
		t.Fatal(err)
	}
	last := &records[len(records)-1]
	last.Server.Queue /= 2
	if err := record.Write(path, records, false); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := loadstone(t, "", "verify", out)
	if code != exitFailed || !strings.Contains(stdout, "DIFFERS records.jsonl") {
		t.Fatalf("a changed record: exit %d, %s%s", code, stdout, stderr)
	}
	if code, _, stderr := loadstone(t, "", "report", out); code != 0 || !strings.Contains(stderr, "manifest.sig is gone") {
		t.Fatalf("report: exit %d, %s", code, stderr)
	}
	if code, stdout, stderr := loadstone(t, "", "verify", out); code != 0 || !strings.Contains(stdout, "verified") {
		t.Fatalf("a consistent lie without a signature: exit %d, %s%s", code, stdout, stderr)
	}
	code, stdout, _ = loadstone(t, "", "verify", "-key", filepath.Join(dir, "key.pub"), out)
	if code != exitFailed || !strings.Contains(stdout, "nobody has signed") {
		t.Errorf("a consistent lie with -key: exit %d, %s", code, stdout)
	}
	other := filepath.Join(dir, "other")
	loadstone(t, "", "sign", "-new", other)
	if code, _, stderr := loadstone(t, "", "sign", "-key", other, out); code != 0 {
		t.Fatal(stderr)
	}
	code, stdout, _ = loadstone(t, "", "verify", "-key", filepath.Join(dir, "key.pub"), out)
	if code != exitFailed || !strings.Contains(stdout, "it is by ed25519 SHA256:") {
		t.Errorf("signed by another: exit %d, %s", code, stdout)
	}
}

// A bundle is the same bytes each time, and every byte of the zip counts.
func TestBundle(t *testing.T) {
	dir := measured(t, "-scenario", "single-cold")
	zip, err := os.ReadFile(filepath.Join(dir, "out.zip"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := verify.Open(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := b.WriteZip(&again); err != nil || !bytes.Equal(again.Bytes(), zip) {
		t.Fatalf("another zip of the same files: %v", err)
	}
	o := verify.Options{Program: programSum()}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		text := slices.Clone(zip)
		at := rng.IntN(len(text))
		text[at] ^= byte(1 << rng.IntN(8))
		b, err := verify.ReadZip("edited.zip", text)
		if err != nil {
			continue
		}
		if found, err := b.Verify(o); err == nil && found.Verified {
			t.Errorf("byte %d of the zip is not missed", at)
		}
	}
}
