package command

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"loadstone/harness/audit"
	"loadstone/harness/client"
	"loadstone/server"
)

// keysOptions are what check -keys needs beside the rest: the keys of two principals of one server.
type keysOptions struct {
	given  string // as the command line has them
	a, b   string
	probes int
}

const keysAbout = "`keys` of two principals, as FILE,FILE or one FILE with both (env:NAME is an " +
	"environment\nvariable in place of a file): checks instead that one learns nothing of the other"

func (o *keysOptions) flags(f *flagSet) {
	f.StringVar(&o.given, "keys", "", keysAbout)
	f.IntVar(&o.probes, "probes", 280, "with -keys, prompts whose time to first token is "+
		"compared, an even number")
}

// read reads the keys, where there are any.
func (o *keysOptions) read() error {
	if o.given == "" {
		return nil
	}
	if o.probes < 40 || o.probes > 100_000 || o.probes%2 != 0 {
		return usageError("-probes is %d; want an even number from 40 to 100000", o.probes)
	}
	parts := strings.Split(o.given, ",")
	if len(parts) > 2 {
		return usageError("-keys has %d parts; want FILE,FILE or one FILE", len(parts))
	}
	var keys []server.Key
	for _, part := range parts {
		list, err := readKeyList("-keys", part)
		if err != nil {
			return err
		}
		if len(parts) == 2 {
			list = list[:1]
		}
		keys = append(keys, list...)
	}
	other := slices.IndexFunc(keys, func(k server.Key) bool {
		return k.Principal != keys[0].Principal || len(parts) == 2 && k.Secret != keys[0].Secret
	})
	if other < 0 {
		return usageError("-keys: all keys are of one principal; want those of two")
	}
	o.a, o.b = keys[0].Secret, keys[other].Secret
	return nil
}

// readKeyList reads the keys of a file, or of the environment, which must have some.
func readKeyList(flag, name string) ([]server.Key, error) {
	var text []byte
	if variable, ok := strings.CutPrefix(name, "env:"); ok {
		text = []byte(os.Getenv(variable))
	} else {
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return nil, usageError("%s: %w", flag, err)
		}
	}
	keys, err := server.ParseKeys(strings.TrimPrefix(string(text), "\ufeff"), nil)
	if err != nil {
		return nil, usageError("%s: what %s has is no key: %w", flag, name, err)
	}
	if len(keys) == 0 {
		return nil, usageError("%s: %s has no key in it", flag, name)
	}
	return keys, nil
}

// accept has a server that is started here accept the two keys, unless its flags name its keys.
func (o *keysOptions) accept(dir string, serve []string) ([]string, error) {
	if o.a == "" || flagValue(serve, "api-key-file") != "" {
		return serve, nil
	}
	name := filepath.Join(dir, "keys")
	err := os.WriteFile(name, []byte("first "+o.a+"\nsecond "+o.b+"\n"), 0o600)
	return append(serve, "-api-key-file", name), err
}

// isolate checks that the two principals of a server are kept apart.
func (o *checkOptions) isolate(ctx context.Context, e *env, s *target) ([]audit.Finding, error) {
	a, b := s.client(), s.client()
	for c, key := range map[*client.Client]string{a: o.keys.a, b: o.keys.b} {
		c.Key, c.Timeout = key, o.timeout
		defer c.Close()
	}
	check := audit.Isolation{
		A: a, B: b,
		Probes:    o.keys.probes,
		Words:     o.audit.Words,
		MaxTokens: 1,
		Seed:      o.audit.Seed,
	}
	if !o.quiet {
		steps := newSteps(e.stderr, b)
		check.OnStep = steps.next
		defer steps.watch()()
	}
	return check.Run(ctx)
}
