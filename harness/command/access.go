package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"loadstone/harness"
	"loadstone/harness/client"
	"loadstone/harness/load"
	"loadstone/internal/peer"
)

// accessOptions are what a server wants of its clients beside plain requests.
type accessOptions struct {
	api         client.API   // "": chosen by what the server has
	forms       []client.API // of what was recorded, which is asked in the same where api is ""
	keyFile, ca string
	given       string // a key that another flag has named
	insecure    bool
	body        load.Body
	headers     []load.Header
}

// keyVariable is the environment variable that an API key is taken from.
const keyVariable = "LOADSTONE_KEY"

func (o *accessOptions) flags(f *flagSet) {
	f.Func("api", "`API` in which the server is asked: chat, completions, messages (Anthropic's), "+
		"responses, or auto, the first of chat, messages, responses and completions that it has "+
		"(default auto)", func(s string) (err error) {
		if s != "auto" {
			o.api, err = client.ParseAPI(s)
		}
		return err
	})
	f.StringVar(
		&o.keyFile,
		"key-file",
		"",
		"`file` with the server's API key, sent as a bearer token; default: the key in "+keyVariable,
	)
	f.Func("header", "`NAME: VALUE` that every request has; may be given more than once",
		func(s string) error {
			h, err := load.ParseHeader(s)
			o.headers = append(o.headers, h)
			return err
		})
	f.Func("body", "change a `field` of every request: "+load.BodyForm+
		"; may be given more than once, such as -body temperature= "+
		"-body max_completion_tokens=@max_tokens", o.body.Add)
	f.StringVar(
		&o.ca,
		"ca",
		"",
		"`file` with the certificate, or its authority's, of an https server",
	)
	f.BoolVar(&o.insecure, "insecure", false, "do not check an https server's certificate")
}

// add adds the fields and headers that a scenario wants. A field that the command line sets keeps
// the value that it has there.
func (o *accessOptions) add(body load.Body, headers []load.Header) {
	for _, f := range body {
		if !slices.ContainsFunc(o.body, func(g load.Field) bool { return g.Name == f.Name }) {
			o.body = append(o.body, f)
		}
	}
	o.headers = slices.Concat(headers, o.headers)
}

// target returns the server at an address, or the one that is started with the flags of serve, with
// what it wants of its clients.
func (o *accessOptions) target(address string, serve []string) (harness.Target, error) {
	t := harness.Target{URL: address, API: o.api, Forms: o.forms, Body: o.body, Headers: o.headers}
	var err error
	if t.Key, err = o.key(address == "", serve); err != nil {
		return t, err
	}
	switch {
	case o.ca == "" && !o.insecure:
		return t, nil
	case !strings.HasPrefix(address, "https://"):
		return t, usageError(
			"-ca and -insecure are for a server whose address begins with https://",
		)
	case o.ca != "" && o.insecure:
		return t, usageError(
			"-ca says how the certificate is checked, and -insecure that it is not",
		)
	case o.insecure:
		t.TLS = &tls.Config{InsecureSkipVerify: true}
		return t, nil
	}
	text, err := os.ReadFile(o.ca)
	if err != nil {
		return t, usageError("-ca: %w", err)
	}
	roots, err := peer.Roots(text)
	if err != nil {
		return t, usageError("-ca: %s: %w", o.ca, err)
	}
	t.TLS = &tls.Config{RootCAs: roots}
	return t, nil
}

// chooseAPI finds out which APIs a running server has. It gives a target without an API the first
// of them, and of the forms in which traffic was recorded those that the server has. Where an API
// is given, everything is asked in that.
func chooseAPI(ctx context.Context, t *harness.Target) (err error) {
	forms := t.Forms
	if t.Forms = nil; t.API != "" {
		return nil
	}
	c := t.NewClient(t.URL)
	defer c.Close()
	for _, form := range forms {
		has, err := c.Has(ctx, form)
		if err != nil {
			return unreachable(err)
		}
		if has {
			t.Forms = append(t.Forms, form)
		}
	}
	t.API, err = c.FindAPI(ctx)
	return unreachable(err)
}

// formsOf are the APIs in which sessions were recorded.
func formsOf(sessions []load.Session) (forms []client.API) {
	for i := range sessions {
		form := client.API(cmp.Or(sessions[i].API, string(client.Chat)))
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	return forms
}

// key is the API key to send. A server that is started here tells by its flags, or the environment
// it inherits, which it accepts.
func (o *accessOptions) key(starts bool, serve []string) (string, error) {
	if o.given != "" {
		return o.given, nil
	}
	if o.keyFile != "" {
		return firstKey("-key-file", o.keyFile)
	}
	if starts {
		for _, list := range []string{os.Getenv("LOADSTONE_API_KEY"), os.Getenv("LOADSTONE_API_KEYS")} {
			for key := range strings.SplitSeq(list, ",") {
				if key = strings.TrimSpace(key); key != "" {
					return key, nil
				}
			}
		}
		if name := flagValue(serve, "api-key-file"); name != "" {
			return firstKey("-api-key-file", name)
		}
	}
	return strings.TrimSpace(os.Getenv(keyVariable)), nil
}

// firstKey is the first key in a file, which has KEY, or a principal's NAME and its KEY, on each
// line.
func firstKey(flag, name string) (string, error) {
	keys, err := readKeyList(flag, name)
	if err != nil {
		return "", err
	}
	return keys[0].Secret, nil
}

// flagValue is the value of a flag among a program's arguments, "" where it is not given.
func flagValue(args []string, name string) string {
	value := ""
	for i, arg := range args {
		given, ok := strings.CutPrefix(strings.TrimPrefix(arg, "-"), "-")
		if !ok {
			given = strings.TrimPrefix(arg, "-")
		}
		if given == arg {
			continue
		}
		switch key, v, has := strings.Cut(given, "="); {
		case key != name:
		case has:
			value = v
		case i+1 < len(args):
			value = args[i+1]
		}
	}
	return value
}

// hint says what to do about an error of a server that wants something else of its clients.
func hint(err error) error {
	var none *harness.NoAnswerError
	var models *client.NoModelsError
	status, text := 0, ""
	switch {
	case errors.As(err, &none):
		status, text = none.Status, none.Reason
	case errors.As(err, &models):
		fmt.Sscan(models.Status, &status)
	default:
		return err
	}
	switch {
	case status == 401 || status == 403:
		return fmt.Errorf(
			"%w; give it an API key with -key-file or in %s, or another header with -header",
			err,
			keyVariable,
		)
	case strings.Contains(text, "max_completion_tokens"):
		return fmt.Errorf(
			"%w; -body max_completion_tokens=@max_tokens sends it under that name",
			err,
		)
	case none != nil && (status == 400 || status == 422):
		return fmt.Errorf("%w; -body NAME= leaves a field of the request out, and -body NAME=JSON "+
			"gives it a value", err)
	}
	return err
}
