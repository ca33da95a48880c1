package verify_test

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loadstone/harness/verify"
)

// kept is a bundle that another version of this program wrote. It must hold as long as its formats
// are known: testdata has one of each version that wrote another form.
const kept = "testdata/first.zip"

// Results of an earlier version hold: their figures, requests and sums. What this version writes in
// another form is compared figure by figure. A change is named all the same.
func TestEarlierVersion(t *testing.T) {
	b, err := verify.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	o := verify.Options{Program: "of another program"}
	found, err := b.Verify(o)
	if err != nil || !found.Verified {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, c := range found.Checks {
		if c.Name == "requests" && c.N == 0 || c.Name == "figures" && c.N < 100 {
			t.Errorf("%s: %d", c.Name, c.N)
		}
	}
	for name, change := range map[string][2]string{
		"results.json": {`"p50_ns": 1`, `"p50_ns": 2`}, "summary.csv": {"hit-ratio,ratio,4,0.8", "hit-ratio,ratio,4,0.7"},
		"bench.txt": {" 1.000 p50", " 2"}, "records.jsonl": {`"max_tokens":4`, `"max_tokens":5`},
		"requests.csv": {",ok,200,0,1", ",ok,200,0,2"},
	} {
		files := map[string][]byte{}
		for name, content := range b.Files() {
			files[name] = content
		}
		before := string(files[name])
		files[name] = []byte(strings.Replace(before, change[0], change[1], 1))
		if string(files[name]) == before && name != "bench.txt" {
			t.Errorf("%s has no %q", name, change[0])
			continue
		}
		if name == "bench.txt" { // the first value of the last line
			lines := strings.SplitAfter(strings.TrimSpace(before), "\n")
			last := strings.Fields(lines[len(lines)-1])
			last[2] += "1"
			lines[len(lines)-1] = strings.Join(last, " ") + "\n"
			files[name] = []byte(strings.Join(lines, ""))
		}
		delete(files, verify.SignatureFile)
		files[verify.ManifestFile] = verify.NewManifest(files, false).Text()
		found, err := verify.NewBundle("edited", files).Verify(o)
		if err != nil || found.Verified {
			t.Errorf("%s, changed with the manifest: %+v, %v", name, found, err)
		}
	}
}

// sealed is a zip with a bundle's seal.
func sealed(t testing.TB, write func(z *zip.Writer)) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	write(z)
	const prefix = "loadstone-bundle/1 sha256 "
	if err := errors.Join(z.SetComment(prefix+strings.Repeat("0", 64)), z.Close()); err != nil {
		t.Fatal(err)
	}
	text := out.Bytes()
	sum := sha256.Sum256(text[:len(text)-len(prefix)-64])
	return append(text[:len(text)-64], hex.EncodeToString(sum[:])...)
}

// A zip that nobody should unpack is refused before its files are read.
func TestHostileZips(t *testing.T) {
	add := func(z *zip.Writer, h zip.FileHeader, content []byte) {
		w, err := z.CreateHeader(&h)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	link := zip.FileHeader{Name: "records.jsonl"}
	link.SetMode(os.ModeSymlink | 0o777)
	for name, c := range map[string]struct {
		write func(z *zip.Writer)
		want  string
	}{
		"slip":     {func(z *zip.Writer) { add(z, zip.FileHeader{Name: "../evil"}, nil) }, "no name of a file"},
		"absolute": {func(z *zip.Writer) { add(z, zip.FileHeader{Name: "/etc/passwd"}, nil) }, "no name of a file"},
		"windows":  {func(z *zip.Writer) { add(z, zip.FileHeader{Name: `..\evil`}, nil) }, "no name of a file"},
		"folder":   {func(z *zip.Writer) { add(z, zip.FileHeader{Name: "a/"}, nil) }, "no name of a file"},
		"control":  {func(z *zip.Writer) { add(z, zip.FileHeader{Name: "a\x1b[2J"}, nil) }, "no name of a file"},
		"twice": {func(z *zip.Writer) {
			add(z, zip.FileHeader{Name: "bench.txt"}, nil)
			add(z, zip.FileHeader{Name: "BENCH.TXT"}, nil)
		}, "twice"},
		"link": {func(z *zip.Writer) { add(z, link, []byte("/etc/passwd")) }, "a symbolic link"},
		"bomb": {func(z *zip.Writer) {
			add(z, zip.FileHeader{Name: "records.jsonl", Method: zip.Deflate}, make([]byte, 64<<20))
		}, "would have 67108864 bytes"},
		"many": {func(z *zip.Writer) {
			for i := range 65 {
				add(z, zip.FileHeader{Name: fmt.Sprint("f", i)}, nil)
			}
		}, "at most 64"},
	} {
		var bad *verify.ZipError
		if _, err := verify.ReadZip("x.zip", sealed(t, c.write)); !errors.As(err, &bad) || !strings.Contains(bad.About, c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// Keys are as openssl has them; a private one that others can read is refused.
func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	public, err := verify.NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	private, err := verify.ReadPrivateKey(path)
	if err != nil || !public.Equal(private.Public()) {
		t.Errorf("another key was read: %v", err)
	}
	if read, err := verify.ReadPublicKey(path + ".pub"); err != nil || !public.Equal(read) {
		t.Errorf("another public key was read: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", info.Mode(), err)
	}
	os.Chmod(path, 0o644)
	if _, err := verify.ReadPrivateKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a private key that others can read: %v", err)
	}
	if _, err := verify.NewKey(path); err == nil {
		t.Error("a key was written over another")
	}
}

// ExampleBundle_Verify verifies a bundle that somebody sent, by a key that is known to be theirs.
func ExampleBundle_Verify() {
	b, err := verify.Open("testdata/first.zip")
	if err != nil {
		fmt.Println(err)
		return
	}
	theirs, err := verify.ReadPublicKey("testdata/first.key.pub")
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := b.Verify(verify.Options{Key: ed25519.PublicKey(theirs), Program: "this one's sum"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("verified:", found.Verified, "differences:", len(found.Differences))
	// Output: verified: true differences: 0
}

// FuzzBundle reads zips of anybody's: whatever they are, reading and verifying ends, and what is no
// bundle that was written here is never verified with the key.
func FuzzBundle(f *testing.F) {
	first, err := os.ReadFile(kept)
	if err != nil {
		f.Fatal(err)
	}
	theirs, err := verify.ReadPublicKey("testdata/first.key.pub")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first)
	f.Add(sealed(f, func(z *zip.Writer) {
		w, _ := z.Create(verify.ManifestFile)
		w.Write([]byte(`{"format":"loadstone-manifest/1","files":[{"name":"records.jsonl"}]}`))
		w, _ = z.Create("results.json")
		w.Write([]byte(`{"format":"loadstone-results/2","scenarios":[{"requests_from":{"form":"loadstone-requests/1",` +
			`"load":{"Name":"a","Concurrency":1,"Requests":1},"word_tokens":1}}]}`))
		w, _ = z.Create("records.jsonl")
		w.Write([]byte(`{"scenario":"a","agent":"a-0-x","outcome":"ok"}`))
	}))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := verify.ReadZip("fuzz.zip", text)
		if err != nil {
			return
		}
		found, err := b.Verify(verify.Options{Key: theirs})
		if err == nil && found.Verified && !bytes.Equal(text, first) {
			t.Error("another bundle is verified with the key")
		}
	})
}

// FuzzManifest reads manifests: one that is accepted is written as it was read.
func FuzzManifest(f *testing.F) {
	f.Add(verify.NewManifest(map[string][]byte{"bench.txt": nil}, true).Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := verify.ParseManifest(text); err == nil && !bytes.Equal(m.Text(), text) {
			t.Errorf("%q is written as %q", text, m.Text())
		}
	})
}
