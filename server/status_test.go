package server

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

func TestWireStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr transcript
		s, _ := start(t, Config{AccessLog: LineLog(&tr.log)},
			engine.Config{Model: &echoModel{delay: 5 * time.Millisecond}}, byteText{})
		l := listen(t, s)
		tr.exchange(t, l, "nothing yet", get("/admin/status"))
		l.exchange(t, post(say("Hi"), "X-Agent-ID: ada"))
		time.Sleep(time.Second)
		l.exchange(t, post(say("Hello!"), "X-Agent-ID: ada"))
		l.exchange(t, post(say("refused", `"max_tokens":4096`)))
		l.exchange(t, get("/admin/status")) // refreshes the roster of agents
		synctest.Wait()
		tr.exchange(t, l, "all answers", get("/admin/status"))
		tr.exchange(t, l, "those from the second on", get("/admin/status?since=1"))
		time.Sleep(2 * time.Minute)
		tr.exchange(t, l, "the window is empty, and nothing is new", get("/admin/status?since=2"))
		tr.exchange(t, l, "since a time that is none", get("/admin/status?since=x"))
		tr.check(t, "status")
	})
}

// TestPage: the page needs no key, loads nothing else, and runs no script except its own.
func TestPage(t *testing.T) {
	s := newTestServer(Config{Keys: keysOf("sk-secret")}) // which is loading
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if w.Code != 200 || !strings.HasPrefix(page, "<!doctype html>") ||
		strings.Contains(page, "sk-secret") {
		t.Fatalf("status %d, %.100q", w.Code, page)
	}
	nonces := regexp.MustCompile(`nonce[-=]"?([A-Z2-7]{26})`).FindAllStringSubmatch(policy+page, -1)
	if len(nonces) != 4 {
		t.Fatalf("nonces %v in %q", nonces, policy)
	}
	for _, n := range nonces {
		if n[1] != nonces[0][1] {
			t.Errorf("nonce %s beside %s", n[1], nonces[0][1])
		}
	}
	for _, u := range regexp.MustCompile(`(?:https?:)?//[\w.]+[^\s'"]*`).FindAllString(page, -1) {
		// The first is a namespace, which is never loaded.
		if !strings.HasPrefix(u, "http://www.w3.org/2000/svg") && !strings.HasPrefix(u, "// ") {
			t.Errorf("the page names %s", u)
		}
	}
	if strings.Contains(page, ` style="`) || regexp.MustCompile(` on[a-z]+="`).MatchString(page) {
		t.Error("the policy forbids a style or a handler in an attribute")
	}
	again := httptest.NewRecorder()
	s.ServeHTTP(again, httptest.NewRequest("GET", "/", nil))
	if again.Header().Get("Content-Security-Policy") == policy {
		t.Error("a nonce is used twice")
	}
	locked := httptest.NewRecorder()
	s.ServeHTTP(locked, httptest.NewRequest("GET", "/admin/status", nil))
	if locked.Code != 401 {
		t.Errorf("what the page shows, without a key: %d", locked.Code)
	}
}

func TestRecent(t *testing.T) {
	var r recent
	for i := range maxRecent + 10 {
		r.add(served{total: time.Duration(i)})
	}
	if all, next := r.since(0, caller{seesNames: true}); len(all) != maxRecent || next != maxRecent+10 ||
		all[0].total != 10 || all[maxRecent-1].total != maxRecent+9 {
		t.Errorf("%d answers from %v, next %d", len(all), all[0].total, next)
	}
	if list, _ := r.since(maxRecent+8, caller{seesNames: true}); len(list) != 2 || list[0].total != maxRecent+8 {
		t.Errorf("the last two: %v", list)
	}
	var d []time.Duration
	for i := range 200 {
		d = append(d, time.Duration(200-i)*time.Millisecond)
	}
	if q := *newQuantiles(d); q != (quantiles{100, 190, 198}) {
		t.Errorf("quantiles of 1 to 200 ms: %v", q)
	}
}
