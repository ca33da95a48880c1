package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// checkURL makes a base URL of what the user gave, and refuses one that leads off this machine: a load test is an attack
// on whoever did not ask for it.
func checkURL(s string, allowRemote bool) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", usageError("%q is no server's address; want one like http://127.0.0.1:8080", s)
	}
	if !allowRemote && !loopback(u.Hostname()) {
		return "", usageError("%s is not this machine: load is sent to loopback addresses only, as it may bring down a server that is not yours; "+
			"if it is yours, say -allow-remote", u.Hostname())
	}
	// Clients are used to giving the API's base; ours is the server's.
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")
	return strings.TrimRight(u.String(), "/"), nil
}

// loopback does not resolve names: what a name means can change between the check and the load.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// loading is how long a server is waited for that says it is not ready yet.
const loading = 5 * time.Minute

// servedModel asks a server for the model it serves, and is content with any answer where the user has named one: not every
// server lists its models. It is also how a server that is down is found out, in one line, and where one is waited for that
// loads its model and says so by 503.
func servedModel(ctx context.Context, e *env, base, named string) (string, error) {
	told := false
	for start := time.Now(); ; {
		model, notReady, err := listedModel(ctx, base, named)
		switch {
		case notReady == "":
			return model, err
		case time.Since(start) >= loading:
			return "", &exitError{exitUnreachable, fmt.Errorf("%s is not ready after %v: %s", base, loading, notReady)}
		case !told:
			told = true
			fmt.Fprintf(e.stderr, "waiting for %s: %s\n", base, notReady)
		}
		select {
		case <-ctx.Done():
			return "", &exitError{exitInterrupted, errors.New("interrupted")}
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// listedModel is the first that a server lists, or the one that was named. notReady is what it says where it answers 503.
func listedModel(ctx context.Context, base, named string) (model, notReady string, err error) {
	brief, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(brief, http.MethodGet, base+"/v1/models", nil)
	if err != nil {
		return "", "", usageError("%w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: loopback means loopback
	res, err := client.Do(req)
	if err != nil {
		if u, ok := err.(*url.Error); ok {
			err = u.Err
		}
		return "", "", &exitError{exitUnreachable, fmt.Errorf("%s does not answer: %w; is the server running? (loadstone serve -addr 127.0.0.1:8080)", base, err)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode == http.StatusServiceUnavailable {
		return "", apiMessage(res, body), nil
	}
	if err == nil && named != "" {
		return named, "", nil
	}
	var list struct{ Data []struct{ ID string } }
	if err == nil && res.StatusCode == http.StatusOK && json.Unmarshal(body, &list) == nil && len(list.Data) == 0 {
		if model := answeringModel(ctx, base); model != "" { // mlx-lm's server lists what it has downloaded, not what it serves
			return model, "", nil
		}
	}
	if err != nil || res.StatusCode != http.StatusOK || len(list.Data) == 0 {
		return "", "", &exitError{exitUnreachable, fmt.Errorf("%s answers, but lists no model as an OpenAI server does: GET /v1/models gave %s; name one with -model", base, res.Status)}
	}
	return list.Data[0].ID, "", nil
}

// answeringModel is the model that an answer is said to come from where the question names none, "" where there is none.
func answeringModel(ctx context.Context, base string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	const question = `{"messages":[{"role":"user","content":"hi"}],"max_tokens":1}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", strings.NewReader(question))
	if err != nil {
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var answer struct{ Model string }
	if json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&answer) != nil {
		return ""
	}
	return answer.Model
}

// apiMessage is the text of an OpenAI error, or the status where there is none.
func apiMessage(res *http.Response, body []byte) string {
	var e struct{ Error struct{ Message string } }
	if json.Unmarshal(body, &e) == nil && e.Error.Message != "" {
		return e.Error.Message
	}
	return res.Status
}
