package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"loadstone/harness/record"
	"loadstone/harness/report"
	"loadstone/harness/table"
)

// Options say what results are held to beside themselves.
type Options struct {
	// Key is who must have signed them; nil: nobody must.
	Key ed25519.PublicKey
	// Program is the SHA-256 of this program, in hexadecimal digits: of results that the same program
	// wrote every byte must be as it writes them. "" demands that of all.
	Program string
}

// A Check is one kind of thing that was checked.
type Check struct {
	Name  string `json:"name"`
	N     int    `json:"n"`     // how many things; 0 of none
	About string `json:"about"` // what was found, in words
}

// An Outcome is what came of verifying results.
type Outcome struct {
	Name        string       `json:"name"`
	Verified    bool         `json:"verified"` // nothing differs
	Checks      []Check      `json:"checks"`
	Differences []Difference `json:"differences"`
	// Notes say what could not be checked, and why.
	Notes    []string `json:"notes,omitempty"`
	SignedBy string   `json:"signed_by,omitempty"` // see KeyName
}

// Telling is the difference that says the most: the first with a place, or else the first. There
// must be one.
func (o *Outcome) Telling() Difference {
	for _, d := range o.Differences {
		if d.Place != "" {
			return d
		}
	}
	return o.Differences[0]
}

// verification is one under way.
type verification struct {
	*Bundle
	Options
	Outcome
	manifest *Manifest
	report   *report.Report
	records  []record.Record
	samples  []record.Sample
	loose    bool // another program wrote the files
	// remade are the files that are byte for byte what is made of the records, or what results.json
	// says they are.
	remade map[string]bool
}

// Verify holds the results to themselves. An error means that they cannot be verified at all: they
// are of a format that is not known, or no results.
func (b *Bundle) Verify(o Options) (*Outcome, error) {
	v := &verification{Bundle: b, Options: o, remade: map[string]bool{}}
	v.Outcome.Name = b.Name
	v.Outcome.Differences = append([]Difference{}, b.odd...)
	if _, ok := b.files[journalFile]; ok {
		return nil, &NoResultsError{b.Name, "the measurement did not come to its end; loadstone " +
			"report makes the report of what there is"}
	}
	if b.files[recordsFile] == nil && b.files[ManifestFile] == nil && b.files[resultsFile] == nil {
		return nil, &NoResultsError{b.Name, "it has neither records.jsonl nor results.json"}
	}
	if err := v.checkFiles(); err != nil {
		return nil, err
	}
	if err := v.checkSigned(); err != nil {
		return nil, err
	}
	switch err := v.read(); {
	case errors.As(err, new(*FormatError)):
		return nil, err
	case err == nil:
		v.checkForms()
		v.checkRecords()
		v.checkRuns()
		v.checkRequests()
		v.tellWhat()
	}
	v.blame()
	v.Verified = len(v.Differences) == 0
	return &v.Outcome, nil
}

// journalFile is what a measurement that did not end has in place of its records.
const journalFile = "records.part.jsonl"

// A NoResultsError is a folder or a zip without results that can be verified.
type NoResultsError struct{ Name, About string }

func (e *NoResultsError) Error() string { return e.Name + ": no results to verify: " + e.About }

func (v *verification) differs(file, place, format string, args ...any) {
	v.Differences = append(v.Differences, Difference{file, place, fmt.Sprintf(format, args...)})
}

func (v *verification) check(name string, n int, format string, args ...any) {
	v.Checks = append(v.Checks, Check{name, n, fmt.Sprintf(format, args...)})
}

func (v *verification) note(format string, args ...any) {
	v.Notes = append(v.Notes, fmt.Sprintf(format, args...))
}

// checkFiles holds the files to the manifest.
func (v *verification) checkFiles() error {
	text, ok := v.files[ManifestFile]
	if !ok {
		if v.hasProof() {
			v.differs(ManifestFile, "", "it is missing")
		} else {
			v.note("there is no manifest, as of versions before it: that no file was changed is unproven")
		}
		return nil
	}
	m, err := ParseManifest(text)
	if errors.As(err, new(*FormatError)) {
		return err
	}
	if err != nil {
		v.differs(ManifestFile, "", "%v", err)
		return nil
	}
	v.manifest = m
	found := v.againstManifest(m)
	v.Differences = append(v.Differences, found...)
	v.check("files", len(m.Files), "%d of %d have the sum of the manifest",
		len(m.Files)-wrong(m, found), len(m.Files))
	return nil
}

// wrong is how many files of the manifest are not as it says.
func wrong(m *Manifest, found []Difference) (n int) {
	for _, f := range m.Files {
		if slices.ContainsFunc(found, func(d Difference) bool { return d.File == f.Name }) {
			n++
		}
	}
	return n
}

// againstManifest lists the files that are not as the manifest has them.
func (b *Bundle) againstManifest(m *Manifest) (found []Difference) {
	listed := map[string]bool{ManifestFile: true, SignatureFile: true}
	for _, f := range m.Files {
		listed[f.Name] = true
		content, ok := b.files[f.Name]
		own := Sum(f.Name, content)
		switch {
		case !ok:
			found = append(found, Difference{f.Name, "", "it is missing"})
		case own != f:
			about := fmt.Sprintf("it has another SHA-256 than in the manifest, %.12s... in place "+
				"of %.12s...", own.SHA256, f.SHA256)
			if own.Bytes != f.Bytes {
				about = fmt.Sprintf("it has %d bytes, and %d in the manifest", own.Bytes, f.Bytes)
			}
			if other := b.named(m, own.SHA256); other != "" {
				about += ": it is " + other
			}
			found = append(found, Difference{f.Name, "", about})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		if !listed[name] {
			found = append(found, Difference{name, "", "the manifest does not have this file"})
		}
	}
	return found
}

// named is the file of the manifest that has a sum; "" where there is none.
func (b *Bundle) named(m *Manifest, sum string) string {
	for _, f := range m.Files {
		if f.SHA256 == sum {
			return f.Name
		}
	}
	return ""
}

// checkSigned checks the signature, where there is one or must be one.
func (v *verification) checkSigned() error {
	text, ok := v.files[SignatureFile]
	if !ok {
		if v.Key != nil {
			v.differs(SignatureFile, "", "it is missing: nobody has signed these results")
		}
		v.check("signature", 0, "none: whoever changes the records and makes all files of them "+
			"again is not found out")
		return nil
	}
	key, err := checkSignature(text, v.files[ManifestFile])
	switch {
	case errors.As(err, new(*FormatError)):
		return err
	case errors.Is(err, errOther):
		v.differs(SignatureFile, "", "it is not of this %s: one of the two was changed", ManifestFile)
		v.differs(ManifestFile, "", "the signature is not of it: one of the two was changed")
		v.check("signature", 0, "it does not hold")
	case err != nil:
		v.differs(SignatureFile, "", "%v", err)
		v.check("signature", 0, "it does not hold")
	case v.Key != nil && !v.Key.Equal(key):
		v.differs(SignatureFile, "", "it is by %s, not by %s", KeyName(key), KeyName(v.Key))
		v.check("signature", 0, "by somebody else")
	case v.Key != nil:
		v.SignedBy = KeyName(key)
		v.check("signature", 1, "by the key that was asked for, %s", v.SignedBy)
	default:
		v.SignedBy = KeyName(key)
		v.check("signature", 1, "by %s; whose key that is, -key PUBLIC says", v.SignedBy)
	}
	return nil
}

// hasProof reports whether results.json says what the measurement is known by.
func (v *verification) hasProof() bool {
	var head struct{ Proof *report.Proof }
	return json.Unmarshal(v.files[resultsFile], &head) == nil && head.Proof != nil
}

// read makes the report of the files. A difference says what cannot be read.
func (v *verification) read() error {
	fail := func(file string, err error) error {
		v.differs(file, "", "it cannot be read: %v", err)
		return err
	}
	for _, name := range []string{resultsFile, recordsFile} {
		if v.files[name] == nil {
			if v.manifest == nil {
				v.differs(name, "", "it is missing")
			}
			return errors.New("missing")
		}
	}
	var head struct{ Format string }
	if err := json.Unmarshal(v.files[resultsFile], &head); err != nil {
		return fail(resultsFile, err)
	}
	if !slices.Contains(report.Formats(), head.Format) {
		return &FormatError{resultsFile, head.Format, report.Formats()[0]}
	}
	var err error
	if v.records, err = record.Read(bytes.NewReader(v.files[recordsFile])); err != nil {
		return fail(recordsFile, err)
	}
	if v.samples, err = record.ReadSamples(bytes.NewReader(v.files[samplesFile])); err != nil {
		return fail(samplesFile, err)
	}
	if v.report, err = report.Read(bytes.NewReader(v.files[resultsFile]), v.records,
		v.samples); err != nil {
		return fail(resultsFile, err)
	}
	proof := v.report.Proof
	v.loose = proof == nil || v.Program != "" && proof.Program != v.Program
	return nil
}

// blame names the manifest in place of a file that has another sum in it, and is nevertheless what
// is made of the records.
func (v *verification) blame() {
	if v.manifest == nil {
		return
	}
	for i := range v.Differences {
		d := &v.Differences[i]
		if d.Place == "" && v.remade[d.File] && strings.Contains(d.About, "in the manifest") {
			*d = Difference{ManifestFile, d.File, "its sum or length is not that of the file, " +
				"which is what the records make"}
		}
	}
}

// checkForms makes every file that is made of the report again.
func (v *verification) checkForms() {
	same, all, figures := 0, 0, 0
	for _, f := range Forms {
		got, ok := v.files[f.Name]
		if !ok {
			if v.manifest == nil && !v.loose {
				v.differs(f.Name, "", "it is missing")
			}
			continue
		}
		all++
		want, err := f.made(v.report)
		c := comparer{file: f.Name, loose: v.loose}
		switch {
		case err != nil:
			c.differ("", "it cannot be made again: %v", err)
		case f.Name == resultsFile:
			c.json(got, want)
		case bytes.Equal(got, want):
		case f.Name == pageFile && v.manifest != nil && v.manifest.Beside:
			v.note("%s has an earlier measurement beside this one, and is held to its sum alone", f.Name)
		case f.Name == benchFile:
			c.bench(got, want)
		case f.Name == summaryFile || f.Name == requestsFile:
			c.table(got, want)
		case v.loose:
			v.note("%s is not as this version writes it, and is held to its sum alone", f.Name)
		default:
			c.differ("", "%s", firstLine(got, want))
		}
		if bytes.Equal(got, want) {
			same++
			v.remade[f.Name] = f.Name != resultsFile // of which a part speaks for itself
		}
		figures += c.figures
		v.Differences = append(v.Differences, c.found...)
	}
	v.check("figures", figures, "%s of results.json computed again from %s and %s",
		table.Plural(figures, "number"), table.Plural(len(v.records), "record"),
		table.Plural(len(v.samples), "sample"))
	outcomes := v.report.Outcomes()
	v.check("verdicts", len(outcomes), "%s judged again, %d not met; %s",
		table.Plural(len(outcomes), "limit"), len(v.report.Missed())+len(v.report.NotShown()),
		validity(v.report))
	v.check("made again", same, "%d of %d files are byte for byte what is made of the records",
		same, all)
	if v.loose && same < all {
		v.note("another program wrote these results (%s), so files that differ were compared "+
			"figure by figure", programOf(v.report))
	}
}

func programOf(r *report.Report) string {
	if r.Proof == nil || r.Proof.Program == "" {
		return "of a version that does not say its sum"
	}
	sum := fmt.Sprintf("sha256 %.12s...", r.Proof.Program)
	if r.System.Commit == "" { // of a server elsewhere nothing says what it was built from
		return sum
	}
	return "commit " + r.System.Commit + ", " + sum
}

func validity(r *report.Report) string {
	if why := r.Invalid(); len(why) > 0 {
		return fmt.Sprintf("the measurement is invalid: %s", why[0])
	}
	return "the measurement is valid"
}

// tellWhat says what was measured with what.
func (v *verification) tellWhat() {
	p := v.report.Proof
	if p == nil {
		return
	}
	about := programOf(v.report)
	if p.Server != "" && p.Server == p.Program {
		about += ", which was the server as well"
	} else if p.Server != "" {
		about += fmt.Sprintf("; server sha256 %.12s...", p.Server)
	}
	v.check("program", 1, "%s", about)
	switch {
	case len(p.Model) > 0:
		v.check("model", len(p.Model), "%s, %s, %s sha256 %.12s...", v.report.System.Model,
			table.Plural(len(p.Model), "file"), p.Model[largest(p.Model)].Name,
			p.Model[largest(p.Model)].SHA256)
	case len(p.Fingerprints) > 0:
		v.check("model", 0, "%s; the server calls it %s", v.report.System.Model, p.Fingerprints[0])
	default:
		v.note("which files the model %s is of is not known: the server does not say",
			v.report.System.Model)
	}
	if len(p.Fingerprints) > 1 {
		v.note("the server changed its system_fingerprint during the measurement: %v", p.Fingerprints)
	}
}

func largest(files []report.Sum) (at int) {
	for i := range files {
		if files[i].Bytes > files[at].Bytes {
			at = i
		}
	}
	return at
}
