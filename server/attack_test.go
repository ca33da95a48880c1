package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"loadstone/engine"
)

// A siege is a server with two principals. alice has an agent, ada, with a conversation that
// nobody else knows; bob attacks. The time is synctest's: only steps of the model take any, so
// equal work takes equal time to the nanosecond.
type siege struct {
	*testing.T
	*memListener
	server *Server
	engine *engine.Engine
	model  *echoModel
	access strings.Builder // the access log
	log    strings.Builder
	before string // what alice sees of ada
}

const (
	secret = "my passphrase is correct horse battery staple, which nobody else has ever sent"

	alice    = "Authorization: Bearer sk-alice"
	alice2   = "X-Api-Key: sk-alice-2" // a second key of hers
	bob      = "Authorization: Bearer sk-bob"
	operator = "Authorization: Bearer sk-operator"
)

var siegeKeys = []Key{
	{Principal: "alice", Secret: "sk-alice"}, {Principal: "alice", Secret: "sk-alice-2"},
	{Principal: "bob", Secret: "sk-bob"},
}

// besiege runs an attack.
func besiege(t *testing.T, sharing engine.Sharing, attack func(*siege)) {
	synctest.Test(t, func(t *testing.T) {
		x := &siege{T: t, model: &echoModel{delay: time.Millisecond}}
		x.server, x.engine = start(t, Config{
			Keys: siegeKeys, OperatorKeys: []string{"sk-operator"}, AgentRate: 500,
			AccessLog: slog.New(slog.NewTextHandler(&x.access, nil)),
			Log:       slog.New(slog.NewTextHandler(&x.log, nil)),
		}, engine.Config{Model: x.model, Dir: t.TempDir(), Sharing: sharing, SaveAfter: time.Hour},
			byteText{})
		defer x.engine.Close()
		x.memListener = listen(t, x.server)
		x.want(201, x.send(postTo("/v1/agents", `{"agent_id":"ada"}`, alice)))
		x.want(200, x.send(post(say(secret), alice, "X-Agent-ID: ada", "X-Durable: wait")))
		x.remember()
		attack(x)
		x.unharmed()
	})
}

// share bounds what a principal may take.
func (x *siege) share(principal string, share Share) {
	x.Helper()
	var keys []Key
	for _, k := range siegeKeys {
		if k.Principal == principal {
			k.Share = share
		}
		keys = append(keys, k)
	}
	if err := x.server.SetKeys(keys, []string{"sk-operator"}); err != nil {
		x.Fatal(err)
	}
}

// send sends a request as it is and returns the whole response.
func (x *siege) send(request string) string {
	x.Helper()
	return x.exchange(x, request)
}

func (x *siege) body(response string) string {
	_, body, _ := strings.Cut(response, "\r\n\r\n")
	return body
}

// status returns the status of a response.
func (x *siege) status(response string) (code int) {
	fmt.Sscanf(response, "HTTP/1.1 %d", &code)
	return code
}

func (x *siege) want(status int, response string) {
	x.Helper()
	if x.status(response) != status {
		x.Errorf("want status %d: %s", status, response)
	}
}

// remember notes what alice has now.
func (x *siege) remember() { x.before = x.ada() }

// ada returns what lasts of alice's agent.
func (x *siege) ada() string {
	x.Helper()
	var a agentInfo
	if err := json.Unmarshal([]byte(x.body(x.send(get("/v1/agents/ada", alice)))), &a); err != nil {
		x.Error(err)
	}
	return fmt.Sprintf("%s has %d tokens, pinned %t, created %v", a.AgentID, a.Tokens, a.Pinned,
		a.CreatedAt)
}

// unharmed reports whether alice still has what she had.
func (x *siege) unharmed() {
	x.Helper()
	if got := x.ada(); got != x.before {
		x.Errorf("alice's agent was %s and is %s", x.before, got)
	}
}

// fillRoster has the server list the agents and the principals' usage, which the status page and
// metrics show from then on. Before, they have no name to show to the wrong reader.
func (x *siege) fillRoster() {
	x.Helper()
	x.want(200, x.send(get("/admin/status", operator)))
	x.want(200, x.send(get("/metrics", operator)))
	synctest.Wait()
}

var createdAt = regexp.MustCompile(`"created":\d+,`)

var dates = regexp.MustCompile(`Date: [^\r]*`)

// alike fails unless bob gets the same bytes in the same time for a name of alice's as for one
// that does not exist. Both names have the same length, and the comparison takes one for the
// other.
func (x *siege) alike(what, hers, nobodys string, request func(name string) string) {
	x.Helper()
	answer := func(name string) (string, time.Duration) {
		began := time.Now()
		r := x.send(request(name))
		took := time.Since(began)
		for _, v := range volatile {
			r = v.pattern.ReplaceAllString(r, v.with)
		}
		r = createdAt.ReplaceAllString(dates.ReplaceAllString(r, ""), "")
		return strings.ReplaceAll(r, name, "NAME"), took
	}
	none, noneTook := answer(nobodys)
	got, took := answer(hers)
	if got != none || took != noneTook {
		x.Errorf("%s: a name of alice's is answered in %v with\n%s\n"+
			"and one that does not exist in %v with\n%s", what, took, got, noneTook, none)
	}
}

// foreign fails if a response tells bob anything of alice.
func (x *siege) foreign(what, response string) {
	x.Helper()
	for _, word := range []string{"alice", "passphrase", engine.PrincipalID("alice"),
		`"agent_id":"ada"`} {
		if strings.Contains(response, word) {
			x.Errorf("%s tells %q: %s", what, word, response)
		}
	}
}

var cachedTokens = regexp.MustCompile(`X-Cached-Tokens: (\d+)`)

// cached returns how many tokens of a prompt were cached, by the head of its answer, -1 where that
// says nothing.
func (x *siege) cached(response string) int {
	n := -1
	if m := cachedTokens.FindStringSubmatch(response); m != nil {
		fmt.Sscan(m[1], &n)
	}
	return n
}

// dialects are the routes that answer a prompt. Each makes a request with a text, a further field
// of the body ("" or one that ends with a comma), and headers.
var dialects = map[string]func(text, field string, headers ...string) string{
	"chat": func(text, field string, h ...string) string {
		return post(`{`+field+`"temperature":0,"messages":[{"role":"user","content":"`+
			text+`"}]}`, h...)
	},
	"a chat that streams": func(text, field string, h ...string) string {
		return post(`{`+field+`"temperature":0,"stream":true,`+
			`"messages":[{"role":"user","content":"`+text+`"}]}`, h...)
	},
	"completions": func(text, field string, h ...string) string {
		return postTo("/v1/completions", `{`+field+`"temperature":0,"prompt":"`+text+`"}`, h...)
	},
	"messages": func(text, field string, h ...string) string {
		return postTo("/v1/messages", `{`+field+`"temperature":0,"max_tokens":300,`+
			`"messages":[{"role":"user","content":"`+text+`"}]}`, h...)
	},
	"responses": func(text, field string, h ...string) string {
		return postTo("/v1/responses", `{`+field+`"temperature":0,"input":"`+text+`"}`, h...)
	},
}

// thirdTurn returns the body of a chat that goes on after one question and its answer.
func thirdTurn(question, answer, next string) string {
	return `{"temperature":0,"messages":[{"role":"user","content":"` + question + `"},` +
		`{"role":"assistant","content":"` + answer + `"},{"role":"user","content":"` + next + `"}]}`
}

// attacks are what a principal with a key of its own, and a client without one, can try.
var attacks = []struct {
	name string
	run  func(*siege)
}{
	{"list the agents", func(x *siege) {
		for _, path := range []string{"/v1/agents", "/v1/agents?sort=recent",
			"/v1/agents?limit=1000"} {
			got := x.body(x.send(get(path, bob)))
			if got != `{"object":"list","data":[],"has_more":false}`+"\n" {
				x.Errorf("%s: %s", path, got)
			}
		}
		x.alike("after", "ada", "adx", func(n string) string {
			return get("/v1/agents?after="+n, bob)
		})
	}},
	{"count the agents", func(x *siege) {
		got := x.body(x.send(get("/v1/agents/stats", bob)))
		for _, none := range []string{`"total_count":0,`, `"total_tokens":0,`, `"disk_bytes":0,`} {
			if !strings.Contains(got, none) {
				x.Errorf("no %s: %s", none, got)
			}
		}
		if got := x.body(x.send(get("/v1/agents/stats", alice))); strings.Contains(got, `"disk_bytes":0,`) {
			x.Error(got)
		}
	}},
	{"guess an agent's name, on every route", func(x *siege) {
		path := func(method, tail string) func(string) string {
			return func(n string) string {
				r := postTo("/v1/agents/"+n+tail, say("What did I say?"), bob)
				return strings.Replace(r, "POST", method, 1)
			}
		}
		x.alike("inspect", "ada", "adx", func(n string) string { return get("/v1/agents/"+n, bob) })
		x.alike("head", "ada", "adx", path("HEAD", ""))
		x.alike("delete", "ada", "adx", path("DELETE", ""))
		x.alike("generate", "ada", "adx", path("POST", "/generate"))
		x.alike("pin", "ada", "adx", path("POST", "/pin"))
		x.alike("unpin", "ada", "adx", path("POST", "/unpin"))
		x.alike("export", "ada", "adx", path("GET", "/export"))
		x.alike("a wrong method", "ada", "adx", path("PUT", ""))
		x.alike("count tokens", "ada", "adx", func(n string) string {
			return postTo("/v1/messages/count_tokens", messagesBody("hi"), bob, "X-Agent-ID: "+n)
		})
	}},
	{"guess while the model is busy, which a lookup may wait for", func(x *siege) {
		x.model.delay = 250 * time.Millisecond
		done := make(chan string)
		go func() { done <- x.send(post(say(strings.Repeat("long ", 9)), alice)) }()
		for range 4 {
			synctest.Wait()
			time.Sleep(70 * time.Millisecond)
			began := time.Now()
			x.want(404, x.send(get("/v1/agents/adx", bob)))
			none := time.Now() // both wait for the end of the step in which they come
			x.want(404, x.send(get("/v1/agents/ada", bob)))
			a, b := none.Sub(began)%x.model.delay, time.Since(none)%x.model.delay
			if a > 250*time.Millisecond || b != 0 {
				x.Errorf("nobody's %v, alice's %v", a, b)
			}
		}
		<-done
	}},
	{"create an agent of the same name", func(x *siege) {
		x.want(201, x.send(postTo("/v1/agents", `{"agent_id":"ada"}`, bob)))
		x.want(409, x.send(postTo("/v1/agents", `{"agent_id":"ada"}`, alice)))
		x.unharmed()
		x.want(200, x.send(post(say("I am bob"), bob, "X-Agent-ID: ada")))
		x.want(204, x.send(del("/v1/agents/ada", bob)))
	}},
	{"go on with another's conversation", func(x *siege) {
		r := x.send(post(say(secret), bob, "X-Agent-ID: ada"))
		if x.cached(r) != 0 || !strings.Contains(r, "X-Cache-Miss: new_agent") {
			x.Error(r)
		}
		// Both agents of that name go on as their own.
		again := thirdTurn(secret, secret, "and?")
		hers := x.send(post(again, alice2, "X-Agent-ID: ada"))
		his := x.send(post(again, bob, "X-Agent-ID: ada"))
		if n := x.cached(hers); n < len(secret) || n != x.cached(his) {
			x.Errorf("alice finds %d tokens, bob %d", n, x.cached(his))
		}
		x.remember()
	}},
	{"find a prefix that another has sent, in every dialect", func(x *siege) {
		n := 0
		for name, ask := range dialects {
			for _, header := range []string{"X-None: ", "X-Agent-ID: ", "X-Session-ID: "} {
				n++
				text := fmt.Sprint(n, ": ", name, strings.Repeat(" private", 12))
				try := func(key, agent, text string) (string, int, time.Duration) {
					began := time.Now()
					r := x.send(ask(text, "", key, header+agent))
					x.want(200, r)
					return r, x.cached(r), time.Since(began)
				}
				agent := fmt.Sprint("a", n)
				try(alice, agent, text)
				r, cached, took := try(bob, agent, text)
				_, none, noneTook := try(bob, agent+"x", strings.ToUpper(text))
				if cached > 0 || cached != none || took != noneTook ||
					strings.Contains(r, `"tier":"hot"`) {
					x.Errorf("%s, %s: %d tokens cached in %v, of a new prompt %d in %v", name,
						header,
						cached, took, none, noneTook)
				}
			}
		}
		x.remember()
	}},
	{"the principal itself finds it, with either of its keys", func(x *siege) {
		for name, ask := range dialects {
			text := "What " + name + " asked: " + strings.Repeat("private ", 12)
			x.want(200, x.send(ask(text, "", alice)))
			if r := x.send(ask(text, "", alice2)); !strings.Contains(r, "hot") && x.cached(r) < 90 {
				x.Errorf("%s: %s", name, r)
			}
		}
	}},
	{"tell another's traffic by the blocks of the pool", func(x *siege) {
		// Equal prompts are not stored once: that would be seen in the pool's figures.
		used := func() int { st := x.engine.Stats(); return st.Cached + st.Used }
		base := used()
		ask := dialects["completions"]
		x.want(200, x.send(ask(strings.Repeat("x", 100), "", alice)))
		one := used() - base
		x.want(200, x.send(ask(strings.Repeat("x", 100), "", bob)))
		same := used() - base - one
		x.want(200, x.send(ask(strings.Repeat("y", 100), "", bob)))
		if other := used() - base - one - same; same != other || same != one {
			x.Errorf("alice's prompt takes %d blocks, bob's equal one %d, another %d",
				one, same, other)
		}
	}},
	{"use another's salt", func(x *siege) {
		for name, ask := range dialects {
			text, salt := "salted "+name+strings.Repeat(" private", 12), `"cache_salt":"s1",`
			x.want(200, x.send(ask(text, salt, alice)))
			for who, r := range map[string]string{
				"bob with the salt":     x.send(ask(text, salt, bob)),
				"alice without it":      x.send(ask(text, "", alice)),
				"alice with another":    x.send(ask(text, `"cache_salt":"s2",`, alice)),
				"alice with one longer": x.send(ask(text, `"cache_salt":"s11",`, alice)),
			} {
				if strings.Contains(r, `"tier":"hot"`) || x.cached(r) > 0 {
					x.Errorf("%s, %s: %s", name, who, r)
				}
			}
			if r := x.send(ask(text, salt, alice)); !strings.Contains(r, "hot") &&
				x.cached(r) < 90 {
				x.Errorf("%s, alice with the salt: %s", name, r)
			}
		}
		x.want(400, x.send(post(say("x", `"cache_salt":""`), bob)))
		x.want(400, x.send(post(say("x", `"cache_salt":7`), bob)))
		x.want(400, x.send(post(say("x", `"cache_salt":"`+strings.Repeat("s", 1025)+`"`), bob)))
	}},
	{"read an agent's memory with another salt", func(x *siege) {
		ask := func(text, salt string) string {
			return x.send(dialects["chat"](text, salt, alice, "X-Agent-ID: sal"))
		}
		text := "short" // within a block, of which the agent's own tail could be shared
		x.want(200, ask(text, `"cache_salt":"s1",`))
		refused := func(r string) bool {
			return x.cached(r) == 0 && strings.Contains(r, "X-Cache-Miss: other_salt")
		}
		if r := ask(text, `"cache_salt":"s2",`); !refused(r) {
			x.Errorf("in the pool: %s", r)
		}
		x.want(200, x.send(postTo("/v1/agents/sal/pin", "", alice))) // now on disk
		if r := ask(text, ""); !refused(r) {
			x.Errorf("on disk: %s", r)
		}
	}},
	{"import another's file", func(x *siege) {
		file := x.body(x.send(get("/v1/agents/ada/export", alice)))
		if !strings.Contains(file, "loadstone memory") {
			x.Fatalf("no export: %q", file)
		}
		r := x.send(postTo("/v1/agents/import", unchunked(file), bob))
		if x.status(r) != 403 || !strings.Contains(r, `"code":"other_principal"`) {
			x.Error(r)
		}
		if got := x.body(x.send(get("/v1/agents", bob))); !strings.Contains(got, `"data":[]`) {
			x.Error(got)
		}
		x.want(200, x.send(postTo("/v1/agents/import", unchunked(file), alice2)))
		x.remember()
	}},
	{"forge or redirect an export", func(x *siege) {
		export := func(query, key string) string {
			return unchunked(x.body(x.send(get("/v1/agents/ada/export"+query, key))))
		}
		take := func(file, key string) string {
			return x.send(postTo("/v1/agents/import", file, key))
		}
		given := export("?for=bob", alice)
		// It is as long for one whom nobody knows, and bob learns of nobody else's.
		if n := len(export("?for=eve", alice)); n != len(given) {
			x.Errorf("an export for bob has %d bytes, one for nobody %d", len(given), n)
		}
		x.want(404, x.send(get("/v1/agents/ada/export?for=bob", bob)))
		x.want(400, x.send(get("/v1/agents/ada/export?for=", alice)))
		x.want(400, x.send(get("/v1/agents/ada/export?for=b%20b", alice)))
		x.want(400, x.send(get("/v1/agents/ada/export?for=bob&for=eve", alice)))
		own := export("", alice)
		hers, his := engine.PrincipalID("alice"), engine.PrincipalID("bob")
		for what, file := range map[string]string{
			"hers with his id":       strings.ReplaceAll(own, hers, his),
			"given, with a bit less": given[:len(given)-1] + string(given[len(given)-1]^1),
			"given, cut off":         given[:len(given)-32],
		} {
			if r := take(file, bob); x.status(r) != 403 && x.status(r) != 400 {
				x.Errorf("%s: %s", what, r)
			}
		}
		if r := take(given, alice); !strings.Contains(r, `"code":"other_principal"`) {
			x.Error(r)
		}
		x.want(200, take(given, bob))
		if r := x.send(get("/v1/agents/ada", bob)); !strings.Contains(r, `"tokens":161,`) {
			x.Error(r)
		}
		x.want(204, x.send(del("/v1/agents/ada", bob)))
	}},
	{"send two keys", func(x *siege) {
		for _, headers := range [][]string{
			{bob, alice}, {alice, bob}, {bob, alice2}, {alice2, bob}, {"X-Api-Key: sk-bob", alice2},
			{bob, "authorization: Bearer sk-alice"}, {bob, "AUTHORIZATION:Bearer sk-alice"},
			{bob, "X-Api-Key:"},
		} {
			x.want(401, x.send(get("/v1/agents/ada", headers...)))
		}
		// The same key twice counts as one.
		x.want(404, x.send(get("/v1/agents/ada", bob, "X-Api-Key: sk-bob")))
	}},
	{"write a key in another form", func(x *siege) {
		for _, h := range []string{
			"Authorization: Bearer sk-bob, Bearer sk-alice",
			"Authorization: Bearer sk-bob sk-alice",
			"Authorization: Bearer sk-bob\r\n\tsk-alice", "Authorization: Bearer SK-ALICE",
			"Authorization: Bearer sk-alice\x00", "Authorization: Bearer sk-alic",
			"Authorization: Bearer sk-alice-", "Authorization: Basic c2stYWxpY2U6",
			"Authorization: sk-alice",
			"X_Api_Key: sk-alice", "X-Api-Key : sk-alice", "X-Api-Key: sk-\u0430lice",
			"Cookie: key=sk-alice",
			"Proxy-Authorization: Bearer sk-alice", "X-Api-Key: Bearer sk-alice", "X-Api-Key: ",
		} {
			if code := x.status(x.send(get("/v1/agents/ada", h))); code != 401 && code != 400 {
				x.Errorf("%q: status %d", h, code)
			}
		}
		x.want(401, x.send(get("/v1/agents/ada?api_key=sk-alice&key=sk-alice")))
	}},
	{"name two agents", func(x *siege) {
		x.want(400, x.send(post(say("hi"), bob, "X-Agent-ID: eve", "X-Agent-ID: ada")))
		x.want(400, x.send(post(say("hi"), bob, "X-Session-ID: eve", "x-session-id: ada")))
		x.want(200, x.send(post(say("hi"), bob, "X-Agent-ID: eve", "X-Agent-ID: eve")))
	}},
	{"smuggle a request behind another", func(x *siege) {
		inner := get("/v1/agents/ada", alice)
		for name, head := range map[string]string{
			"two lengths": "Content-Length: 0\r\nContent-Length: " +
				fmt.Sprint(len(inner)) + "\r\n",
			"a length and chunks": "Content-Length: " + fmt.Sprint(len(inner)) +
				"\r\nTransfer-Encoding: chunked\r\n",
			"chunks of another kind":   "Transfer-Encoding: xchunked\r\n",
			"a negative length":        "Content-Length: -1\r\n",
			"a length with a plus":     "Content-Length: +5\r\n",
			"a space before a colon":   "Content-Length : 0\r\n",
			"chunks under a folded":    "Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n",
			"a line that ends with CR": "X: y\rAuthorization: Bearer sk-alice\r\n",
		} {
			// The inner request has alice's key, as if a proxy had added it to what it takes for
			// hers. It must not be answered to bob who wrote it as a body.
			r := x.send("POST /v1/agents/ada/pin HTTP/1.1\r\nHost: localhost\r\n" +
				"Connection: close\r\n" + bob + "\r\n" + head + "\r\n" + "0\r\n\r\n" + inner)
			if strings.Count(r, "HTTP/1.1 ") > 1 || x.status(r) < 400 {
				x.Errorf("%s: %s", name, r)
			}
		}
	}},
	{"write a path in another form", func(x *siege) {
		for _, path := range []string{
			"/v1/agents/%61da", "/v1/agents/ada/", "//v1/agents/ada", "/v1//agents/ada",
			"/v1/./agents/ada",
			"/v1/agents/x/../ada", "/V1/agents/ada", "/v1/AGENTS/ada", "/v1/agents/ada%00",
			"/v1/agents/ada;x",
			"/v1/agents/alice/ada", "/v1/agents/alice%2Fada", "/v1/agents/alice:ada",
			"/v1/agents/ada%20",
			"/health/../v1/agents/ada", "/health/..%2Fv1/agents/ada",
			"/health/%2e%2e/v1/agents/ada",
			"/health//../v1/agents/ada", "/health/live/../../v1/agents/ada",
			"http://localhost/v1/agents/ada",
			"/v1/agents/" + engine.PrincipalID("alice") + "/ada",
			"/v1/agents/" + engine.PrincipalID("alice") + ":ada", "/v1/agents/..%2F..%2Fada.memory",
		} {
			for _, key := range []string{bob, "X-None: 1"} {
				r := x.send(get(path, key))
				code := x.status(r)
				if code != 404 && code != 401 && code/100 != 3 ||
					key != bob && code == 404 && !strings.HasPrefix(path, "/health") {
					x.Errorf("%s with %s: %s", path, key, r)
				}
				if strings.Contains(r, `"tokens"`) || strings.Contains(r, "passphrase") {
					x.Errorf("%s: %s", path, r)
				}
			}
		}
	}},
	{"write a name that looks like it", func(x *siege) {
		for _, name := range []string{"\u0430da", "ad\u0430", "ada\u200b", "\ufeffada", "\uff41da",
			"a\u0301da",
			"ada ", " ada", "ada\t", "Ada", "ADA", "ada\x00", "a\x00da"} {
			r := x.send(postTo("/v1/agents", `{"agent_id":`+quoted(name)+`}`, bob))
			code := x.status(r)
			if code != 400 && (code != 201 || strings.Contains(r, `"agent_id":"ada"`)) {
				x.Errorf("%q: %s", name, r)
			}
			r = x.send(post(say("hi", `"session_id":`+quoted(name)), bob))
			if code := x.status(r); code != 400 && code != 200 {
				x.Errorf("%q: %s", name, r)
			}
		}
	}},
	{"name another's principal with the agent", func(x *siege) {
		id := engine.PrincipalID("alice")
		for _, name := range []string{"alice:ada", "alice.ada", "default:ada", id + ":ada", id,
			"key-ada"} {
			r := x.send(post(say(secret), bob, "X-Agent-ID: "+name))
			if x.status(r) != 200 || !strings.Contains(r, `"miss":"new_agent"`) &&
				x.cached(r) > 90 {
				x.Errorf("%s: %s", name, r)
			}
		}
	}},
	{"read another's name in metrics", func(x *siege) {
		x.fillRoster()
		x.foreign("metrics", x.send(get("/metrics", bob)))
		r := x.send(get("/metrics", operator))
		for _, want := range []string{
			`loadstone_principal_requests_total{principal="alice",status="200"}`,
			`loadstone_principal_disk_bytes{principal="alice"}`,
			`loadstone_principal_pool_bytes{principal="alice"}`} {
			if !strings.Contains(r, want) {
				x.Errorf("the operator does not see %s: %s", want, r)
			}
		}
	}},
	{"read names in errors, metrics, the status page and heads", func(x *siege) {
		x.fillRoster()
		for _, request := range []string{
			get("/metrics", bob), get("/admin/status", bob), get("/admin/drain", bob),
			get("/", bob), get("/health", bob), get("/v1/models", bob),
			get("/v1/agents/ada/export", bob), post(`{"messages":[}`, bob),
			post(say("x"), bob, "X-Agent-ID: a/d"), post(say("x", `"max_tokens":5000000`), bob),
			post(say("x"), bob, "X-Durable: now"), postTo("/v1/agents/import", "x", bob),
			get("/v1/agents?sort=size", bob), get("/v1/responses/resp_x", bob),
		} {
			x.foreign(request[:strings.Index(request, "\r")], x.send(request))
		}
		x.want(401, x.send(get("/metrics")))
		x.want(401, x.send(get("/admin/status")))
	}},
	{"look at others' answers on the status page", func(x *siege) {
		x.fillRoster()
		got := x.body(x.send(get("/admin/status", operator)))
		if !strings.Contains(got, `"agent_id":"ada"`) || strings.Contains(got, `"recent":[]`) ||
			!strings.Contains(got, `"principal":"alice"`) {
			x.Errorf("the operator sees %s", got)
		}
		got = x.body(x.send(get("/admin/status", bob)))
		for _, want := range []string{`"recent":[]`, `"agents":[]`, `"answers":0,`} {
			if !strings.Contains(got, want) {
				x.Errorf("bob sees more than %s: %s", want, got)
			}
		}
	}},
	{"read a key or a prompt in the logs", func(x *siege) {
		x.send(get("/v1/agents/ada", "Authorization: Bearer sk-wrong"))
		x.send(get("/v1/agents?api_key=sk-alice", bob))
		x.send(post(say("x"), bob, "X-Agent-ID: ada\r\nX-Request-ID: r\x1b[2J"))
		synctest.Wait()
		for _, word := range []string{"sk-", "passphrase", "\x1b"} {
			if all := x.access.String() + x.log.String(); strings.Contains(all, word) {
				x.Errorf("the logs have %q: %s", word, all)
			}
		}
		if !strings.Contains(x.access.String(), "principal=alice agent=ada") {
			x.Errorf("the operator cannot tell whose request it was: %s", x.access.String())
		}
	}},
	{"use the operator's routes, or the operator's key elsewhere", func(x *siege) {
		for _, path := range []string{"/v1/agents", "/v1/agents/ada", "/v1/models",
			"/v1/responses/resp_x"} {
			x.want(403, x.send(get(path, operator)))
		}
		x.want(403, x.send(post(say("hi"), operator)))
		x.want(200, x.send(get("/metrics", operator)))
		x.want(401, x.send(get("/admin/status", operator, "X-Api-Key: sk-bob")))
		x.want(401, x.send(get("/admin/status", "Authorization: Bearer sk-operator-")))
	}},
	{"delete an agent while it answers", func(x *siege) {
		done := make(chan string)
		go func() { done <- x.send(post(say(secret+", again"), alice, "X-Agent-ID: ada")) }()
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 3 * time.Millisecond)
				x.want(404, x.send(del("/v1/agents/ada", bob)))
			})
		}
		all.Wait()
		x.want(200, <-done)
		x.remember()
		// Of her own two agents of one name, each deletes its own.
		x.want(200, x.send(post(say("mine"), bob, "X-Agent-ID: ada")))
		x.want(204, x.send(del("/v1/agents/ada", bob)))
	}},
	{"go on with a key that was revoked", func(x *siege) {
		x.model.delay = 50 * time.Millisecond
		stream, next := make(chan string), make(chan string)
		go func() {
			stream <- x.send(post(say("a long story", `"stream":true`), bob, "X-Agent-ID: eve"))
		}()
		time.Sleep(220 * time.Millisecond)
		if err := x.server.SetKeys(siegeKeys[:2], nil); err != nil {
			x.Fatal(err)
		}
		go func() { next <- x.send(get("/v1/agents", bob)) }()
		x.want(401, <-next)
		x.want(401, x.send(post(say("hi"), bob)))
		x.want(401, x.send(get("/metrics", operator)))
		if r := <-stream; !strings.Contains(r, "data: [DONE]") {
			x.Errorf("the answer that was under way: %s", r)
		}
		x.want(200, x.send(get("/v1/agents/ada", alice)))
		// With the key comes back what was its principal's, also under a new one.
		x.server.SetKeys(append(siegeKeys[:2:2], Key{Principal: "bob", Secret: "sk-bob-2"}), nil)
		x.want(200, x.send(get("/v1/agents/eve", "X-Api-Key: sk-bob-2")))
	}},
	{"take away all keys", func(x *siege) {
		if err := x.server.SetKeys(nil, nil); err == nil {
			x.Error("a server that needs keys was opened")
		}
		if err := x.server.SetKeys(siegeKeys, []string{"sk-alice"}); err == nil {
			x.Error("a principal's key is the operator's")
		}
		x.want(401, x.send(get("/v1/agents")))
	}},
	{"wait for another's agent to be on disk", func(x *siege) {
		x.alike("durable", "ada", "adx", func(n string) string {
			return post(say("mine"), bob, "X-Agent-ID: "+n, "X-Durable: wait")
		})
		r := x.send(post(say("mine"), bob, "X-Agent-ID: ada", "X-Durable: wait"))
		if !strings.Contains(r, "X-Durable: saved") {
			x.Error(r)
		}
	}},
	{"name another's response", func(x *siege) {
		r := x.send(postTo("/v1/responses", `{"input":"`+secret+`","temperature":0}`, alice))
		id := responseID.FindString(r)
		x.want(200, x.send(get("/v1/responses/"+id, alice2)))
		none := "resp_" + strings.Repeat("A", 26)
		for what, request := range map[string]func(string) string{
			"read":  func(n string) string { return get("/v1/responses/"+n, bob) },
			"input": func(n string) string { return get("/v1/responses/"+n+"/input_items", bob) },
			"cancel": func(n string) string {
				return postTo("/v1/responses/"+n+"/cancel", "", bob)
			},
			"delete": func(n string) string { return del("/v1/responses/"+n, bob) },
			"continue": func(n string) string {
				return postTo("/v1/responses", `{"input":"x","previous_response_id":"`+n+`"}`, bob)
			},
			"count": func(n string) string {
				return postTo("/v1/responses/input_tokens",
					`{"input":"x","previous_response_id":"`+n+`"}`, bob)
			},
			"item": func(n string) string {
				item := strings.Replace(n, "resp_", "msg_", 1) + "_in0"
				return postTo("/v1/responses",
					`{"input":[{"type":"item_reference","id":"`+item+`"}]}`, bob)
			},
		} {
			if what == "item" {
				a, b := x.body(x.send(request(id))), x.body(x.send(request(none)))
				if strings.ReplaceAll(a, id[5:], "") != strings.ReplaceAll(b, none[5:], "") {
					x.Errorf("item: %s, nobody's %s", a, b)
				}
				continue
			}
			x.alike(what, id, none, request)
		}
		x.want(200, x.send(get("/v1/responses/"+id, alice)))
	}},
	{"use up another's rate", func(x *siege) {
		for range 520 {
			x.send(post(`{"messages":[]}`, bob, "X-Agent-ID: ada"))
		}
		x.want(429, x.send(post(say("x"), bob, "X-Agent-ID: ada")))
		x.want(200, x.send(post(say(secret), alice, "X-Agent-ID: ada")))
		x.remember()
	}},
	{"flood the server", func(x *siege) {
		// bob sends more than the pool, the batch and the queue hold. alice is answered at once,
		// her memory stays in the pool, and bob is told what his share is.
		x.share("bob", Share{Share: engine.Share{InFlight: 40}})
		var all sync.WaitGroup
		var refused atomic.Int64
		for i := range 120 {
			all.Go(func() {
				r := x.send(post(say(strings.Repeat("flood ", 20)+fmt.Sprint(i)), bob))
				if x.status(r) == 429 {
					refused.Add(1)
					for _, want := range []string{"its share is 40; retry in", "Retry-After: ",
						`"code":"share_exhausted"`} {
						if !strings.Contains(r, want) {
							x.Errorf("no %s: %s", want, r)
						}
					}
				}
			})
			time.Sleep(time.Microsecond)
		}
		synctest.Wait()
		began := time.Now()
		r := x.send(post(say(secret), alice, "X-Agent-ID: ada"))
		took := time.Since(began)
		if x.status(r) != 200 || x.cached(r) < 64 || took > 250*time.Millisecond {
			x.Errorf("beside the flood, in %v: %s", took, r)
		}
		all.Wait()
		if n := refused.Load(); n < 60 {
			x.Errorf("%d of 120 requests were refused", n)
		}
		x.remember()
	}},
	{"fill the disk and the pool", func(x *siege) {
		// The whole server has room for some twenty of these on disk; bob's share is for five.
		x.share("bob", Share{Share: engine.Share{DiskBytes: 6000, PoolBytes: 4000}})
		for i := range 30 {
			text := fmt.Sprint(i, strings.Repeat(" fill", 20))
			agent := fmt.Sprint("X-Agent-ID: f", i)
			x.want(200, x.send(post(say(text), bob, agent, "X-Durable: wait")))
		}
		usage, err := x.engine.Usage()
		if err != nil {
			x.Fatal(err)
		}
		for _, u := range usage {
			if u.Principal != engine.PrincipalID("bob") {
				continue
			}
			if u.DiskBytes > 6000 || u.DiskBytes < 1000 || u.PoolBytes > 4000 || u.PoolBytes == 0 {
				x.Errorf("bob has %+v", u)
			}
		}
		r := x.send(post(say(secret), alice, "X-Agent-ID: ada"))
		if x.cached(r) < 64 || !strings.Contains(r, "X-Cache-Tier: hot") {
			x.Errorf("alice's memory was evicted: %s", r)
		}
		x.remember()
		// A request that alone is more than the share is refused for good, in words that say so.
		r = x.send(post(say(strings.Repeat("long", 300)), bob))
		if x.status(r) != 429 || !strings.Contains(r, "this principal's share is") ||
			!strings.Contains(r, "X-Should-Retry: false") {
			x.Error(r)
		}
	}},
	{"use up one's own rate", func(x *siege) {
		x.share("bob", Share{Rate: 3})
		for range 3 {
			x.want(200, x.send(post(say("x"), bob)))
		}
		r := x.send(post(say("x"), bob))
		if x.status(r) != 429 ||
			!strings.Contains(r, "this principal takes 3 requests a minute; retry in 20 s") {
			x.Error(r)
		}
		x.want(200, x.send(post(say("x"), alice)))
		time.Sleep(20 * time.Second)
		x.want(200, x.send(post(say("x"), bob)))
	}},
	{"make another's answer by what one has sent", func(x *siege) {
		// The tokens of an answer are remembered for the agent that got it, and for no other.
		x.want(200, x.send(post(say("q"), alice, "X-Agent-ID: ada")))
		hers := x.send(post(thirdTurn("q", "q", "r"), bob, "X-Agent-ID: ada"))
		nobodys := x.send(post(thirdTurn("q", "z", "r"), bob, "X-Agent-ID: ada2"))
		if usage(hers) != usage(nobodys) {
			x.Errorf("%s, nobody's %s", usage(hers), usage(nobodys))
		}
		// An answer that ends within a character has fewer tokens than its text.
		cut := "Voil\ufffd"
		r := x.send(post(say("Voil\u00e0", `"max_tokens":5`), alice, "X-Agent-ID: ada"))
		if !strings.Contains(r, `"content":"`+cut+`"`) {
			x.Errorf("the answer is not cut: %s", r)
		}
		again := thirdTurn("Voil\u00e0", cut, "r")
		own := x.send(post(again, alice, "X-Agent-ID: ada"))
		hers = x.send(post(again, bob, "X-Agent-ID: ada"))
		nobodys = x.send(post(again, bob, "X-Agent-ID: ada2"))
		if promptTokens(hers) != promptTokens(nobodys) || promptTokens(own) >= promptTokens(hers) {
			x.Errorf("%s, nobody's %s, her own %s", usage(hers), usage(nobodys), usage(own))
		}
		x.remember()
	}},
}

// usage returns the usage of an answer.
func usage(response string) string {
	_, u, _ := strings.Cut(response, `"usage":`)
	return u
}

// promptTokens returns the tokens of the prompt of an answer, -1 where it does not say.
func promptTokens(response string) int {
	n := -1
	fmt.Sscanf(usage(response), `{"prompt_tokens":%d`, &n)
	return n
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// unchunked joins the chunks of a body.
func unchunked(body string) string {
	_, joined, _ := strings.Cut(joinChunks("Transfer-Encoding: chunked\r\n\r\n"+body), "\r\n\r\n")
	return strings.TrimSuffix(joined, "\r\n")
}

// TestAttacks: no attack of one principal on another succeeds, whether prefixes are shared within a
// principal or not at all.
func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) { besiege(t, engine.ShareOwn, a.run) })
	}
}

// TestShareNone: then a request finds only what its own agent has left.
func TestShareNone(t *testing.T) {
	besiege(t, engine.ShareNone, func(x *siege) {
		ask := func(agent string) int {
			text := strings.Repeat("private ", 12)
			return x.cached(x.send(dialects["chat"](text, "", alice, agent)))
		}
		for _, test := range []struct {
			agent string
			want  int
		}{{"X-None: 1", 0}, {"X-None: 1", 0}, {"X-Agent-ID: eve", 0}, {"X-Agent-ID: eve", 100},
			{"X-Agent-ID: fay", 0}, {"X-None: 1", 0}} {
			if got := ask(test.agent); got != test.want {
				x.Errorf("%s: %d tokens cached, want %d", test.agent, got, test.want)
			}
		}
	})
}

// TestShareAll: the operator can have everybody share, but for what has a salt.
func TestShareAll(t *testing.T) {
	besiege(t, engine.ShareAll, func(x *siege) {
		if r := x.send(post(say(secret), bob)); x.cached(r) < 64 {
			x.Error(r)
		}
		x.want(200, x.send(dialects["chat"](secret+".", `"cache_salt":"s",`, alice)))
		if r := x.send(dialects["chat"](secret+".", `"cache_salt":"s",`, bob)); x.cached(r) != 0 {
			x.Error(r)
		}
		x.want(404, x.send(get("/v1/agents/ada", bob)))
	})
}

// TestThreatModel: every test that SECURITY.md names exists, and every attack of the table is named
// there.
func TestThreatModel(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Defended")
	named := map[string]bool{}
	for _, list := range regexp.MustCompile(`A: ([^;|]*)`).FindAllStringSubmatch(table, -1) {
		for _, name := range strings.Split(list[1], ",") {
			name, found := strings.TrimSpace(name), false
			for _, a := range attacks {
				if strings.HasPrefix(a.name, name) {
					found, named[a.name] = true, true
				}
			}
			if !found {
				t.Errorf("SECURITY.md names an attack %q, and there is none", name)
			}
		}
	}
	for _, a := range attacks {
		if !named[a.name] {
			t.Errorf("SECURITY.md does not name the attack %q", a.name)
		}
	}
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "service/*_test.go", "../engine/*_test.go",
		"../engine/internal/*/*_test.go", "../internal/seal/*_test.go",
		"../harness/audit/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			b, _ := os.ReadFile(f)
			tests.Write(b)
		}
	}
	testName := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`)
	for _, name := range testName.FindAllString(string(text), -1) {
		if name != "TestAttacks" && !strings.Contains(tests.String(), "func "+name+"(") {
			t.Errorf("SECURITY.md names %s, and there is none", name)
		}
	}
}
