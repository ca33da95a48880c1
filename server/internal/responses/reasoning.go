package responses

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"loadstone/internal/files"
	"loadstone/internal/seal"
	"loadstone/server/internal/generate"
)

// sealedReasoning begins the encrypted_content of this server's reasoning items, in which a client
// that has nothing stored sends the model's reasoning back. What follows is the text, sealed under
// its owner's name: nobody else can read it, change it, or send it as his own.
const sealedReasoning = "loadstone:"

// reasoningKeyName is the file in which a store that has a directory and no keys keeps the key of
// reasoning, so that it can be opened after a restart.
const reasoningKeyName = "reasoning.key"

// reasoningKeys returns the keys of reasoning, of which the first seals: those of the store, or
// else one of its own, which without a directory lasts as long as the process.
func (s *Store) reasoningKeys() ([]*seal.Key, error) {
	if len(s.keys) > 0 {
		return s.keys, nil
	}
	master := make([]byte, seal.KeyBytes)
	rand.Read(master)
	if s.dir != "" {
		var err error
		if master, err = s.keptKey(master); err != nil {
			return nil, fmt.Errorf("key of reasoning: %w", err)
		}
	}
	k, err := seal.NewKey(master)
	return []*seal.Key{k}, err
}

// keptKey returns the key that the directory has. Where it has none yet, that is the given one,
// which is on disk when keptKey returns: clients get what is sealed with it, and bring it back
// after a restart.
func (s *Store) keptKey(master []byte) ([]byte, error) {
	path := filepath.Join(s.dir, reasoningKeyName)
	text, err := files.ReadFile(s.sys, path)
	// Versions that did not write it as one left an empty file behind where they were killed.
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		text = []byte(hex.EncodeToString(master) + "\n")
		err = files.Replace(s.sys, path, reasoningKeyName+".*.tmp", func(f files.File) error {
			_, err := f.Write(text)
			return err
		})
	}
	if err == nil {
		err = files.SyncDir(s.sys, s.dir) // the start that made it may have ended before it did so
	}
	if err != nil {
		return nil, err
	}
	keys, err := seal.ParseKeys(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys[0], nil
}

// sealName returns the name under which the owner's reasoning is sealed.
func (o Owned) sealName() string { return "reasoning of " + o.owner }

// seal returns the encrypted_content of a reasoning item.
func (o Owned) seal(text []byte) string {
	var b bytes.Buffer // writing to it never fails
	w, _ := o.store.reasoning[0].NewWriter(&b, o.sealName())
	w.Write(text)
	w.Close()
	return sealedReasoning + base64.StdEncoding.EncodeToString(b.Bytes())
}

// unseal returns the text of an encrypted_content. ok is false where it is another server's, or of
// a key that is not at hand, and cannot be read. It is an error for the client where the content is
// another owner's, or not as it was sealed.
func (o Owned) unseal(path, content string) (text string, ok bool, err error) {
	code, ours := strings.CutPrefix(content, sealedReasoning)
	if !ours {
		return "", false, nil
	}
	var plain []byte
	sealed, err := base64.StdEncoding.DecodeString(code)
	if err == nil {
		var r *seal.Reader
		r, ours, err = seal.Open(bytes.NewReader(sealed), int64(len(sealed)), o.sealName(),
			o.store.reasoning)
		if errors.Is(err, seal.ErrOtherKey) {
			return "", false, nil
		}
		if err == nil && ours {
			plain, err = io.ReadAll(r)
		}
	}
	if err != nil || !ours {
		return "", false, &generate.RequestError{
			Code:  "invalid_encrypted_content",
			Param: path,
			Message: path + ": this is not reasoning that the server gave to this API key, or it " +
				"was changed since; send it as it came, or leave the item out",
		}
	}
	return string(plain), true, nil
}
