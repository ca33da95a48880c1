package verify

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Bundle is the files of results, by name. Reading one keeps all of them in memory.
type Bundle struct {
	Name  string // of the folder or the zip
	files map[string][]byte
	odd   []Difference // what is wrong with the folder or the zip itself
}

// NewBundle is the bundle of files by their names.
func NewBundle(name string, files map[string][]byte) *Bundle {
	return &Bundle{Name: name, files: files}
}

// Files are the bundle's, by name. They are the bundle's own and must not be changed.
func (b *Bundle) Files() map[string][]byte { return b.files }

// What a bundle has at most: a file of somebody else's is not to take all memory. Results of a
// million requests are some 700 MB.
const (
	maxFiles = 64
	maxBytes = 1 << 30   // of all files
	maxZip   = 256 << 20 // of the zip
	maxRatio = 200       // of a file's bytes to its compressed ones
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// isName reports whether a file of results can have that name: one in the folder itself, on every
// system.
func isName(name string) bool { return namePattern.MatchString(name) }

// Open reads a folder of results, or a bundle.
func Open(name string) (*Bundle, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return ReadFolder(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxZip+1))
	if err != nil {
		return nil, err
	}
	return ReadZip(name, text)
}

// resultNames are all files that a measurement writes, but for the manifest and its signature.
var resultNames = []string{"access.log", "baseline.md", benchFile, recordsFile, pageFile,
	requestsFile, resultsFile, samplesFile, "server.log", "soak.html", "soak.json", summaryFile}

// ReadFolder reads a folder of results. What in it is no file is noted and not followed; of files
// that are none of results only the names are read.
func ReadFolder(dir string) (*Bundle, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Name: dir, files: map[string][]byte{}}
	left := int64(maxBytes)
	for _, e := range entries {
		name := e.Name()
		info, err := e.Info()
		switch {
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			b.odd = append(b.odd, Difference{name, "", "is " + kindOf(info.Mode()) +
				", and results are files alone"})
			continue
		case !slices.Contains(resultNames, name) && name != ManifestFile && name != SignatureFile:
			b.files[name] = nil
			continue
		case info.Size() > left:
			return nil, fmt.Errorf("%s has more than %d MiB", dir, maxBytes>>20)
		}
		left -= info.Size()
		if b.files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "no ordinary file"
}

// sealPrefix begins the comment of a bundle, which ends it; the SHA-256 of all bytes before the
// comment follows. So a byte is found out that the zip's own sums are not of.
const sealPrefix = "loadstone-bundle/1 sha256 "

func seal(before []byte) string {
	sum := sha256.Sum256(before)
	return sealPrefix + hex.EncodeToString(sum[:])
}

// WriteZip writes the files of results as one zip, without what else is in their folder. The same
// files make the same bytes.
func (b *Bundle) WriteZip(w io.Writer) error {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		if !slices.Contains(resultNames, name) && name != ManifestFile && name != SignatureFile {
			continue
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return err
		}
		if _, err := f.Write(b.files[name]); err != nil {
			return err
		}
	}
	if err := errors.Join(z.SetComment(seal(nil)), z.Close()); err != nil {
		return err
	}
	before := out.Bytes()[:out.Len()-len(seal(nil))]
	if _, err := w.Write(before); err != nil {
		return err
	}
	_, err := io.WriteString(w, seal(before))
	return err
}

// A ZipError says that a file is not a zip of results, or is a zip that is not safe to unpack.
type ZipError struct{ Name, About string }

func (e *ZipError) Error() string {
	return fmt.Sprintf("%s is no zip of results, or a damaged one: %s", e.Name, e.About)
}

// ReadZip reads a bundle. It takes files alone, each once, without folders, and no more than
// results have; anything else is a *ZipError. A bundle whose bytes are not all as they were written
// is read as far as that goes, and Verify names what differs.
func ReadZip(name string, text []byte) (*Bundle, error) {
	bad := func(format string, args ...any) (*Bundle, error) {
		return nil, &ZipError{name, fmt.Sprintf(format, args...)}
	}
	if len(text) > maxZip {
		return bad("it has more than %d MiB", maxZip>>20)
	}
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return bad("%v", err)
	}
	if len(z.File) > maxFiles {
		return bad("it has %d files, and results have at most %d", len(z.File), maxFiles)
	}
	b := &Bundle{Name: name, files: map[string][]byte{}}
	switch at := len(text) - len(z.Comment); {
	case !strings.HasPrefix(z.Comment, sealPrefix):
		b.odd = append(b.odd, Difference{"", "", "the zip has no seal: it was not written by " +
			"loadstone, or was packed anew; unpack it, and verify the folder"})
	case z.Comment != seal(text[:at]):
		b.odd = append(b.odd, Difference{"", "",
			"the zip is not as it was written: its bytes have another sum"})
	}
	left := uint64(maxBytes)
	lower := map[string]bool{}
	for _, f := range z.File {
		switch {
		case !isName(f.Name):
			return bad("%.80q is no name of a file of results", f.Name)
		case lower[strings.ToLower(f.Name)]:
			return bad("%s is in it twice", f.Name)
		case !f.Mode().IsRegular():
			return bad("%s is %s", f.Name, kindOf(f.Mode()))
		case f.Method != zip.Store && f.Method != zip.Deflate || f.Flags&1 != 0:
			return bad("%s is packed in a way that bundles are not", f.Name)
		case f.UncompressedSize64 > left || f.UncompressedSize64 > maxRatio*f.CompressedSize64+1<<20:
			return bad("%s would have %d bytes, of %d in the zip", f.Name, f.UncompressedSize64,
				f.CompressedSize64)
		}
		left -= f.UncompressedSize64
		lower[strings.ToLower(f.Name)] = true
		if err := b.unpack(f); err != nil {
			b.odd = append(b.odd, Difference{f.Name, "", "cannot be unpacked: " + err.Error()})
		}
	}
	return b, nil
}

func (b *Bundle) unpack(f *zip.File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, int64(f.UncompressedSize64)+1))
	if err != nil {
		return err
	}
	if uint64(len(content)) != f.UncompressedSize64 {
		return fmt.Errorf("it has another length than the zip says, %d", f.UncompressedSize64)
	}
	b.files[f.Name] = content
	return nil
}
