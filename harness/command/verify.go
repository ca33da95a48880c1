package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"loadstone/harness/table"
	"loadstone/harness/verify"
)

const verifyAbout = `Checks that results are what was measured: a folder that bench, run or soak wrote, or the zip of one
(-zip). It needs no server, no model and no network, and takes seconds.

It computes every figure and verdict again from the records, makes each file that is made of them
again, makes the requests again from the load's seeds, counts again what the client, the server and
its pool must agree in, and checks the sum of every file and the signature. What differs is named:
the file, the place in it, and the figure.

Whoever changes a file is found out, also if the manifest is changed with it. Whoever changes a
record and then makes all results of it anew is found out by a signature alone (loadstone sign): ask
for one with -key. A signature says who vouches for the results, not that they were measured.`

const verifyExamples = `  loadstone bench -zip mine.zip -sign me.key && loadstone verify mine.zip
  loadstone verify -key her.key.pub hers.zip
  loadstone verify loadstone-results/20261124-120000
  loadstone verify -json mine.zip | jq -r '.differences[] | .file'

Exit codes: 0 nothing differs, 1 something differs, 2 wrong command line, or nothing that can be
verified: no results, a measurement that did not end, or a format of another version.
`

func verifyCommand(_ context.Context, e *env, args []string) error {
	f := flags("verify", verifyAbout, verifyExamples, e.stdout)
	key := f.String("key", "", "public key `file` of who must have signed the results")
	asJSON := f.Bool("json", false, "print JSON instead of text")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return usageError("want one folder of results, or its zip; loadstone verify -h shows examples")
	}
	o := verify.Options{Program: programSum()}
	if *key != "" {
		var err error
		if o.Key, err = verify.ReadPublicKey(*key); err != nil {
			return usageError("-key: %w", err)
		}
	}
	b, err := verify.Open(f.Arg(0))
	if errors.Is(err, fs.ErrNotExist) {
		return usageError("%s does not exist; want a folder that bench or run wrote, or its zip",
			f.Arg(0))
	}
	if _, ok := errors.AsType[*verify.ZipError](err); ok {
		return usageError("%w", err)
	}
	if err != nil {
		return err
	}
	found, err := b.Verify(o)
	if err != nil {
		return usageError("%w", err)
	}
	if err := tellVerified(e, found, *asJSON); err != nil {
		return err
	}
	if n := len(found.Differences); n > 0 {
		return fmt.Errorf("%s is not what was measured: %s, such as %s", f.Arg(0),
			table.Plural(n, "difference"), found.Telling())
	}
	return nil
}

func tellVerified(e *env, found *verify.Outcome, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	var rows [][]string
	for _, c := range found.Checks {
		rows = append(rows, []string{c.Name, table.OneLine(c.About)})
	}
	for _, line := range table.Align(rows, 0, 1) {
		fmt.Fprintln(e.stdout, line)
	}
	for _, note := range found.Notes {
		fmt.Fprintln(e.stdout, "note:", table.OneLine(note))
	}
	for _, d := range found.Differences {
		fmt.Fprintln(e.stdout, "DIFFERS", table.OneLine(d.String()))
	}
	if found.Verified {
		fmt.Fprintf(e.stdout, "verified: %s\n", found.Name)
	}
	return nil
}

const signAbout = `Signs results, by a signature of their manifest (ed25519), which has the sum of every file. With
-new it makes a key pair: FILE, which only you can read, and FILE.pub, to give to those who are to
know your results. Both are PEM, so openssl genpkey -algorithm ed25519 makes such keys as well.

Results are signed as they are written with bench -sign FILE, as run and soak have it.`

const signExamples = `  loadstone sign -new me.key
  loadstone sign -key me.key loadstone-results/20261124-120000
  loadstone report -sign me.key -zip mine.zip loadstone-results/20261124-120000

Exit codes: 0 done, 1 a file is not as the manifest has it, or cannot be read or written, 2 wrong
command line.
`

func signCommand(_ context.Context, e *env, args []string) error {
	f := flags("sign", signAbout, signExamples, e.stdout)
	key := f.String("key", "", "private key `file` that signs")
	fresh := f.String("new", "", "make a key pair, FILE and FILE.pub, at this `file`")
	if err := f.parse(args); err != nil {
		return err
	}
	switch {
	case *fresh != "" && (*key != "" || f.NArg() > 0):
		return usageError("-new makes a key and signs nothing; sign with -key afterwards")
	case *fresh != "":
		public, err := verify.NewKey(*fresh)
		if errors.Is(err, fs.ErrExist) {
			return usageError("%w, and was left as it is; make the pair under another name", err)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s is the private key, %[1]s.pub the public one: %s\n", *fresh,
			verify.KeyName(public))
		return nil
	case *key == "" || f.NArg() != 1:
		return usageError("want -key FILE and one folder of results, or -new FILE; loadstone sign " +
			"-h shows examples")
	}
	private, err := verify.ReadPrivateKey(*key)
	if err != nil {
		return usageError("-key: %w", err)
	}
	return verify.Sign(f.Arg(0), private)
}
