package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// signatureFormat names the layout of a signature, and begins what is signed, so that no signature
// of anything else passes for one.
const signatureFormat = "loadstone-signature/1"

// A signature is of the manifest, and so of all files.
type signature struct {
	Format    string `json:"format"`
	Key       []byte `json:"public_key"` // ed25519
	Signature []byte `json:"signature"`
}

func (s *signature) text() []byte {
	text, _ := json.MarshalIndent(s, "", "  ")
	return append(text, '\n')
}

func signed(manifest []byte) []byte { return append([]byte(signatureFormat+"\n"), manifest...) }

// Sign signs a folder of results that has its manifest, which must be that of its files.
func Sign(dir string, key ed25519.PrivateKey) error {
	b, err := ReadFolder(dir)
	if err != nil {
		return err
	}
	text, ok := b.files[ManifestFile]
	if !ok {
		return fmt.Errorf("%s has no %s: loadstone report %[1]s writes it", dir, ManifestFile)
	}
	m, err := ParseManifest(text)
	if err != nil {
		return fmt.Errorf("%s: %w", ManifestFile, err)
	}
	if found := b.againstManifest(m); len(found) > 0 {
		return fmt.Errorf("%s is not signed: %s %s", dir, found[0].File, found[0].About)
	}
	s := signature{signatureFormat, key.Public().(ed25519.PublicKey), ed25519.Sign(key, signed(text))}
	return os.WriteFile(filepath.Join(dir, SignatureFile), s.text(), 0o600)
}

// checkSignature is the key that signed a manifest. The error says what is wrong with the
// signature.
func checkSignature(text, manifest []byte) (ed25519.PublicKey, error) {
	var s signature
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("it is no signature: %w", err)
	}
	switch {
	case s.Format != signatureFormat:
		return nil, &FormatError{SignatureFile, s.Format, signatureFormat}
	case !bytes.Equal(s.text(), text):
		return nil, errors.New("it is not as it was written: " + firstLine(text, s.text()))
	case len(s.Key) != ed25519.PublicKeySize ||
		!ed25519.Verify(s.Key, signed(manifest), s.Signature):
		return nil, errOther
	}
	return s.Key, nil
}

// errOther is a signature of something else.
var errOther = errors.New("it is not of this " + ManifestFile)

// KeyName names a public key, as ssh-keygen does: a key is the same whose name is.
func KeyName(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "ed25519 SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// NewKey makes a key pair: a file that only its owner can read with the private key, and beside it
// one with .pub after its name with the public key. Both are PEM, as openssl writes them. A file
// that is there is left as it is, and is an error.
func NewKey(path string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, &pem.Block{Type: "PRIVATE KEY", Bytes: der}, 0o600); err != nil {
		return nil, err
	}
	return public, writeNew(path+".pub", &pem.Block{Type: "PUBLIC KEY", Bytes: open}, 0o644)
}

func writeNew(path string, block *pem.Block, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, block), f.Close())
}

// ReadPrivateKey reads a private key of ed25519, PKCS #8 in PEM. One that others can read is
// refused.
func ReadPrivateKey(path string) (ed25519.PrivateKey, error) {
	block, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" &&
		info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others can read this private key (mode %#o); chmod 600 it", path,
			info.Mode().Perm())
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if own, ok := key.(ed25519.PrivateKey); ok && err == nil {
		return own, nil
	}
	return nil, fmt.Errorf("%s: it is no private key of ed25519", path)
}

// ReadPublicKey reads a public key of ed25519, PKIX in PEM.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	block, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if own, ok := key.(ed25519.PublicKey); ok && err == nil {
		return own, nil
	}
	return nil, fmt.Errorf("%s: it is no public key of ed25519", path)
}

func readPEM(path, kind string) (*pem.Block, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: want a %s of ed25519 in PEM; loadstone sign -new FILE "+
			"makes a pair", path, kind)
	}
	return block, nil
}
