package scenario

import (
	"cmp"
	"fmt"
	"strings"
)

// otherWords are what other programs call what keys are for, without case, - and _.
var otherWords = map[string]string{
	"users": "concurrency", "vus": "concurrency", "clients": "concurrency",
	"connections": "concurrency", "maxconcurrency": "concurrency", "agents": "concurrency",
	"qps": "rate", "rps": "rate", "requestrate": "rate",
	"numrequests": "requests", "numprompts": "requests", "iterations": "requests",
	"maxtokens": "answer", "outputtokens": "answer", "outputlength": "answer",
	"inputtokens": "prompt", "inputlength": "prompt", "prompttokens": "prompt",
	"time": "duration", "maxseconds": "duration", "dataset": "trace",
}

// likely is what a user who wrote a key that there is not may have meant, "" unknown.
func likely(name string) string {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
	}
	best, off := "", 3
	for _, key := range names() {
		if n := apart(plain(name), plain(key)); n < off {
			best, off = key, n
		}
	}
	if off > 0 {
		best = cmp.Or(otherWords[plain(name)], best)
	}
	if len(best) > 4 || off == 0 || otherWords[plain(name)] != "" {
		return best
	}
	return "" // so short a word is two letters from many
}

// ofTheServer are settings of the server or of each request, which users look for among the keys.
var ofTheServer = map[string]string{
	"model": "the server's model is no part of a scenario",
	"url":   "the server's address is no part of a scenario",
	"api":   "the server's API is no part of a scenario",

	"temperature": "body: temperature=VALUE sets it in every request",
	"top_p":       "body: top_p=VALUE sets it in every request",
}

// noKey is the error for a key that there is not.
func noKey(name string) error {
	about := ""
	if meant := likely(name); meant != "" {
		about = "; did you mean " + meant + "?"
	}
	if why := ofTheServer[strings.ToLower(name)]; why != "" {
		about = "; " + why
	}
	return fmt.Errorf("there is no key %s%s; keys are %s", name, about, strings.Join(names(), ", "))
}

// apart is how many letters have to be put in, left out or changed to make b of a.
func apart(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before := row[0]
		row[0] = i + 1
		for j := range b {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
