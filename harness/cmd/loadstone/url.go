package main

import (
	"context"
	"encoding/json"
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

// servedModel asks a server for the model it serves, and is content with any answer where the user has named one: not every
// server lists its models. It is also how a server that is down is found out, in one line.
func servedModel(ctx context.Context, base, named string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/models", nil)
	if err != nil {
		return "", usageError("%w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: loopback means loopback
	res, err := client.Do(req)
	if err != nil {
		if u, ok := err.(*url.Error); ok {
			err = u.Err
		}
		return "", &exitError{exitUnreachable, fmt.Errorf("%s does not answer: %w; is the server running? (loadstone serve -addr 127.0.0.1:8080)", base, err)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode == http.StatusServiceUnavailable {
		return "", &exitError{exitUnreachable, fmt.Errorf("%s is not ready: %s", base, apiMessage(res, body))}
	}
	if err == nil && named != "" {
		return named, nil
	}
	var list struct{ Data []struct{ ID string } }
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return "", &exitError{exitUnreachable, fmt.Errorf("%s answers, but lists no model as an OpenAI server does: GET /v1/models gave %s; name one with -model", base, res.Status)}
	}
	return list.Data[0].ID, nil
}

// apiMessage is the text of an OpenAI error, or the status where there is none.
func apiMessage(res *http.Response, body []byte) string {
	var e struct{ Error struct{ Message string } }
	if json.Unmarshal(body, &e) == nil && e.Error.Message != "" {
		return e.Error.Message
	}
	return res.Status
}
