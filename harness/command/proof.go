package command

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"loadstone/harness/report"
	"loadstone/harness/verify"
)

// programSum is the SHA-256 of this program, "" where it cannot be read.
var programSum = sync.OnceValue(func() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	sum, err := verify.SumFile(self)
	if err != nil {
		return ""
	}
	return sum.SHA256
})

// proof is what the measurement is known by.
func (m *measurement) proof() *report.Proof {
	p := &report.Proof{Program: programSum(), Fingerprints: m.client.Fingerprints()}
	if m.target.process != nil { // this program, again
		p.Server, p.Model = p.Program, m.target.sums()
	}
	return p
}

// sums are those of the files of a model, none where one cannot be read.
func (s *target) sums() (all []report.Sum) {
	err := fs.WalkDir(s.files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := s.files.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		sum, err := verify.SumReader(name, f)
		all = append(all, sum)
		return err
	})
	if err != nil {
		return nil
	}
	return all
}

// sumRaw notes the sums of the files that a report is made of, which are in a folder.
func sumRaw(dir string, rep *report.Report) error {
	if rep.Proof == nil {
		return nil
	}
	rep.Proof.Raw = nil
	for _, name := range verify.RawFiles {
		sum, err := verify.SumFile(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		}
		rep.Proof.Raw = append(rep.Proof.Raw, sum)
	}
	return nil
}

// sealOptions say what is made of results besides: all of them in one file, a signature.
type sealOptions struct {
	zip, sign string
	key       ed25519.PrivateKey
}

func (o *sealOptions) flags(f *flagSet) {
	f.StringVar(&o.sign, "sign", "", "private key `file` that signs the results, for loadstone "+
		"verify -key")
	f.StringVar(&o.zip, "zip", "", "also write all results into one zip `file`, to be sent and "+
		"verified elsewhere")
}

// settle reads the key: a wrong one is to be told before anything is measured.
func (o *sealOptions) settle() (err error) {
	if o.sign != "" {
		if o.key, err = verify.ReadPrivateKey(o.sign); err != nil {
			return usageError("-sign: %w", err)
		}
	}
	return nil
}

// seal writes the manifest of a folder of results, signs it and packs it. Nothing changes in the
// folder after it.
func (o *sealOptions) seal(e *env, dir string, beside bool) error {
	dropped, err := verify.WriteManifest(dir, beside)
	if err != nil {
		return err
	}
	if o.key != nil {
		if err := verify.Sign(dir, o.key); err != nil {
			return err
		}
	} else if dropped {
		fmt.Fprintf(e.stderr, "note: the results are others than were signed, so %s is gone; "+
			"loadstone sign signs them anew\n", verify.SignatureFile)
	}
	if o.zip == "" {
		return nil
	}
	b, err := verify.ReadFolder(dir)
	if err != nil {
		return err
	}
	return writeFile(o.zip, func(w io.Writer) error { return b.WriteZip(w) })
}
