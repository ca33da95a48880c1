package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"loadstone/harness/report"
)

// The names of the files that a bundle has beside those of the results.
const (
	ManifestFile  = "manifest.json"
	SignatureFile = "manifest.sig"
)

// manifestFormat names the layout of the manifest.
const manifestFormat = "loadstone-manifest/1"

// Formats lists the formats of manifests and of signatures that this version reads and writes.
func Formats() []string { return []string{manifestFormat, signatureFormat} }

// A Manifest lists the files of results, in the order of their names, without itself and its
// signature.
type Manifest struct {
	Format string       `json:"format"`
	Files  []report.Sum `json:"files"`
	// Beside says that report.html was made with an earlier measurement beside this one, so that it
	// cannot be made again from these files alone.
	Beside bool `json:"page_beside_an_earlier_one,omitempty"`
}

// Sum is that of a file's content.
func Sum(name string, content []byte) report.Sum {
	sum := sha256.Sum256(content)
	return report.Sum{Name: name, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

// NewManifest is the manifest of files.
func NewManifest(files map[string][]byte, beside bool) *Manifest {
	m := &Manifest{Format: manifestFormat, Files: []report.Sum{}, Beside: beside}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if slices.Contains(resultNames, name) {
			m.Files = append(m.Files, Sum(name, files[name]))
		}
	}
	return m
}

// Text is the manifest as it is written; there is no other way to write it.
func (m *Manifest) Text() []byte {
	text, _ := json.MarshalIndent(m, "", "  ") // of texts and numbers
	return append(text, '\n')
}

// ParseManifest reads a manifest. The error says what is wrong with it; of an unknown format it is
// a *FormatError.
func ParseManifest(text []byte) (*Manifest, error) {
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("it is no manifest: %w", err)
	}
	if m.Format != manifestFormat {
		return nil, &FormatError{ManifestFile, m.Format, manifestFormat}
	}
	if own := m.Text(); !bytes.Equal(own, text) {
		return nil, fmt.Errorf("it is not as it was written: %s", firstLine(text, own))
	}
	for i, f := range m.Files {
		if !isName(f.Name) || f.Name == ManifestFile || f.Name == SignatureFile {
			return nil, fmt.Errorf("%.80q is no name of a file of results", f.Name)
		}
		if i > 0 && f.Name <= m.Files[i-1].Name {
			return nil, fmt.Errorf("%s stands in it out of order, or twice", f.Name)
		}
	}
	return m, nil
}

// A FormatError is results in a format that this version does not know.
type FormatError struct{ File, Format, Want string }

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: its format is %.80q, and this version knows %q", e.File, e.Format, e.Want)
}

// WriteManifest writes the manifest of a folder of results, once no file of it changes any more. A
// signature of another manifest is taken away, and dropped says so. beside says that report.html
// has an earlier measurement in it.
func WriteManifest(dir string, beside bool) (dropped bool, err error) {
	b, err := ReadFolder(dir)
	if err != nil {
		return false, err
	}
	text := NewManifest(b.files, beside).Text()
	if bytes.Equal(text, b.files[ManifestFile]) {
		return false, nil
	}
	if _, signed := b.files[SignatureFile]; signed {
		if err := os.Remove(filepath.Join(dir, SignatureFile)); err != nil {
			return false, err
		}
		dropped = true
	}
	return dropped, os.WriteFile(filepath.Join(dir, ManifestFile), text, 0o600)
}

// SumFile is that of a file on disk, by the last element of its path.
func SumFile(path string) (report.Sum, error) {
	f, err := os.Open(path)
	if err != nil {
		return report.Sum{}, err
	}
	defer f.Close()
	return SumReader(filepath.Base(path), f)
}

// SumReader is that of all that a reader gives.
func SumReader(name string, r io.Reader) (report.Sum, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return report.Sum{Name: name, Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}
