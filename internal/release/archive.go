package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// A file is one of an archive.
type file struct {
	name string // in the archive's folder, with slashes
	mode fs.FileMode
	path string // where its contents are; "": in data
	data []byte
}

// writeArchive writes files as NAME/... into the archive path, a tar file under gzip. The bytes
// depend on nothing else: the files are in order of their names, all have the same time and belong
// to root.
func writeArchive(path, name string, files []file, at time.Time) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	zip, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(zip)
	for _, dir := range folders(name, files) {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at,
			Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
	}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b file) int {
		return strings.Compare(a.name, b.name)
	})
	for _, f := range sorted {
		if err := f.write(w, name, at); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return zip.Close()
}

// write adds the file to an archive.
func (f *file) write(w *tar.Writer, folder string, at time.Time) error {
	var from io.Reader = bytes.NewReader(f.data)
	size := int64(len(f.data))
	if f.path != "" {
		in, err := os.Open(f.path)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		from, size = in, info.Size()
	}
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(folder, f.name),
		Mode: int64(f.mode), Size: size, ModTime: at, Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, from)
	return err
}

// folders lists the folders of an archive, each after the one that it is in.
func folders(name string, files []file) []string {
	dirs := []string{name}
	for _, f := range files {
		for dir := path.Dir(f.name); dir != "."; dir = path.Dir(dir) {
			if !slices.Contains(dirs, path.Join(name, dir)) {
				dirs = append(dirs, path.Join(name, dir))
			}
		}
	}
	slices.Sort(dirs)
	return dirs
}
