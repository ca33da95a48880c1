package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"loadstone/engine"
	"loadstone/internal/files"
	"loadstone/internal/objects"
	"loadstone/internal/seal"
	"loadstone/server"
)

// A keyReader reads the keys of the environment and of the key files, again each time it is asked.
type keyReader struct {
	file, operators string // names; "": none
	environment     []string
	salt            []byte // of the names of principals that have a key and no name
}

// keys returns a reader of the keys that the options and the environment name.
func (o *options) keys(ctx context.Context) (*keyReader, error) {
	r := &keyReader{
		file:      o.keyFile,
		operators: o.adminKeyFile,
		environment: splitList(
			os.Getenv("LOADSTONE_API_KEY") + "," + os.Getenv("LOADSTONE_API_KEYS")),
	}
	var err error
	if b := o.engine.Bucket; b != nil {
		r.salt, err = objects.Keep(ctx, b, saltName, []byte(rand.Text()))
	} else {
		r.salt, err = keySalt(o.engine.Dir)
	}
	return r, err
}

// read returns the principals' keys and the operator's.
func (r *keyReader) read() (keys []server.Key, operators []string, err error) {
	text := ""
	if r.file != "" {
		lines, err := readKeys(r.file)
		if err != nil {
			return nil, nil, err
		}
		text = lines
	}
	if keys, err = server.ParseKeys(text, r.salt); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.file, err)
	}
	known := map[string]bool{}
	for _, k := range keys {
		known[k.Secret] = true
	}
	for _, secret := range r.environment {
		if known[secret] {
			continue // the file says whose it is
		}
		known[secret] = true
		more, err := server.ParseKeys(secret, r.salt)
		if err != nil {
			return nil, nil, fmt.Errorf("a key of the environment: %w", err)
		}
		keys = append(keys, more...)
	}
	if r.operators == "" {
		return keys, nil, nil
	}
	if text, err = readKeys(r.operators); err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(text) {
		secret := strings.TrimSpace(line)
		if secret == "" || secret[0] == '#' {
			continue
		}
		if known[secret] {
			return nil, nil, fmt.Errorf("%s: a key is a principal's as well; "+
				"the operator's must be another", r.operators)
		}
		operators = append(operators, secret)
	}
	return keys, operators, nil
}

// readKeys returns the text of a key file. It fails if the file has no key.
func readKeys(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return string(b), nil
		}
	}
	return "", fmt.Errorf("%s has no keys: a server that demands a key would let nobody in", name)
}

// readSealKeys returns the keys that seal files, or none if no file of them is named.
func (o *options) readSealKeys() ([][]byte, error) {
	if o.sealKeyFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(o.sealKeyFile)
	if err != nil {
		return nil, err
	}
	keys, err := seal.ParseKeys(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.sealKeyFile, err)
	}
	return keys, nil
}

// saltName is under which name the salt lies beside the agents' memories.
const saltName = "principals.salt"

// keySalt returns the salt from which the names of principals without one are derived. It is kept
// in the directory of the agents' memories, because with another salt their owners would have
// other names. Without a directory, each process has a new one.
func keySalt(dir string) ([]byte, error) {
	salt := []byte(rand.Text())
	if dir == "" {
		return salt, nil
	}
	sys := files.OS{}
	if err := files.MakeDir(sys, dir); err != nil {
		return nil, fmt.Errorf("directory of agents' memories: %w", err)
	}
	name := filepath.Join(dir, saltName)
	old, err := os.ReadFile(name)
	switch {
	case err == nil && len(old) >= len(salt):
		return old, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	err = files.Replace(sys, name, "principals.*.tmp", func(f files.File) error {
		_, err := f.Write(salt)
		return err
	})
	if err == nil {
		err = sys.SyncDir(dir)
	}
	return salt, err
}

// sharing is the value of the flag -share.
type sharing engine.Sharing

var sharings = []string{engine.ShareOwn: "key", engine.ShareNone: "none", engine.ShareAll: "all"}

func (s *sharing) MarshalText() ([]byte, error) { return []byte(sharings[*s]), nil }

func (s *sharing) UnmarshalText(text []byte) error {
	for i, word := range sharings {
		if word == string(text) {
			*s = sharing(i)
			return nil
		}
	}
	return errors.New("want none, key or all")
}
