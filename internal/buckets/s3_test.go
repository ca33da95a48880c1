package buckets_test

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"gotest.tools/v3/assert"

	"loadstone/internal/broker"
	"loadstone/internal/buckets"
	"loadstone/internal/objects"
	"loadstone/internal/objects/buckettest"
)

// s3Handler is a store of the S3 API in memory, with a bucket "memories". It honours conditions on
// PUT and knows none on DELETE, as many stores do.
func s3Handler(t *testing.T) http.Handler {
	t.Helper()
	backend := s3mem.New()
	assert.NilError(t, backend.CreateBucket("memories"))
	return gofakes3.New(backend).Server()
}

// s3Environment gives the test credentials, and no others that this machine has.
func s3Environment(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	assert.NilError(t, os.WriteFile(none, nil, 0o600))
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "very-secret",
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_CONFIG_FILE": none,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "",
		"AWS_ENDPOINT_URL_S3": "", "AWS_CA_BUNDLE": "", "SSL_CERT_FILE": ""} {
		t.Setenv(name, value)
	}
}

func served(t *testing.T, h http.Handler) (endpoint string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestS3(t *testing.T) {
	s3Environment(t)
	address := "s3://memories/of/agents?endpoint=" + served(t, s3Handler(t))
	testStore(t, func(t *testing.T) objects.Bucket { return opened(t, address, broker.Access{}) })
}

// A store that honours conditions on DELETE keeps no tombstones.
func TestS3ConditionalDelete(t *testing.T) {
	s3Environment(t)
	store := s3Handler(t)
	var one sync.Mutex // request at a time, as nothing comes between a condition and its deletion
	deletes := func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		if want := r.Header.Get("If-Match"); r.Method == http.MethodDelete && want != "" {
			head := httptest.NewRecorder()
			store.ServeHTTP(head, httptest.NewRequest(http.MethodHead, r.URL.Path, nil))
			if head.Code != http.StatusOK || head.Header().Get("ETag") != want {
				w.WriteHeader(http.StatusPreconditionFailed)
				return
			}
		}
		store.ServeHTTP(w, r)
	}
	endpoint := served(t, http.HandlerFunc(deletes))
	b := opened(t, "s3://memories?endpoint="+endpoint, broker.Access{})
	buckettest.Test(t, func(*testing.T) objects.Bucket { return b })
	assert.NilError(t, b.Delete(t.Context(), "versions/one", objects.Any))
	_, version := get(t, b, "versions/two")
	assert.NilError(t, b.Delete(t.Context(), "versions/two", version))
	resp, err := http.Head(endpoint + "/memories/versions/two")
	assert.NilError(t, err)
	resp.Body.Close()
	assert.Equal(t, resp.StatusCode, http.StatusNotFound)
}

// TestS3Server holds a store of the user's to the contract: LOADSTONE_TEST_S3 has its address, as
// -agents-store has it, and AWS's variables the credentials. See .ci/s3.
func TestS3Server(t *testing.T) {
	address := os.Getenv("LOADSTONE_TEST_S3")
	if address == "" {
		t.Skip("LOADSTONE_TEST_S3 has no address of a store; .ci/s3 starts one")
	}
	testStore(t, func(t *testing.T) objects.Bucket { return opened(t, address, broker.Access{}) })
}

func TestS3LostAnswers(t *testing.T) {
	s3Environment(t)
	endpoint := served(t, s3Handler(t))
	p := newProxy(t, strings.TrimPrefix(endpoint, "http://"))
	testLostAnswers(t, opened(t, "s3://memories?endpoint=http://"+p.addr, broker.Access{}), p)
}

// without serves a store through a proxy that takes headers away: what they ask for is not done,
// and nobody is told.
func without(t *testing.T, headers ...string) (endpoint string) {
	t.Helper()
	to, err := url.Parse(served(t, s3Handler(t)))
	assert.NilError(t, err)
	proxy := httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		for _, h := range headers {
			r.Out.Header.Del(h)
		}
	}}
	return served(t, &proxy)
}

// A store that takes no notice of a condition is refused, and the error names the condition.
func TestS3WithoutConditions(t *testing.T) {
	s3Environment(t)
	for _, c := range []struct{ header, want string }{
		{"If-None-Match", "takes no notice of If-None-Match: * on PUT"},
		{"If-Match", "takes no notice of If-Match on PUT"},
	} {
		_, err := buckets.Open(t.Context(), "s3://memories?endpoint="+without(t, c.header), broker.Access{})
		assert.Check(t, errors.As(err, new(*buckets.ConditionError)) && strings.Contains(err.Error(), c.want), "%v", err)
	}
}

// Memories go to another machine with TLS, unless that is allowed otherwise. A redirection leads
// nowhere.
func TestS3Plain(t *testing.T) {
	s3Environment(t)
	_, err := buckets.Open(t.Context(), "s3://memories?endpoint=http://192.0.2.1:9000", broker.Access{})
	assert.Check(t, errors.As(err, new(*buckets.PlainError)), "%v", err)
	store := s3Handler(t)
	away := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.Redirect(w, r, "http://192.0.2.1:9000"+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		store.ServeHTTP(w, r)
	}))
	b := opened(t, "s3://memories?endpoint="+away, broker.Access{})
	put(t, b, "a", "x", objects.None)
	_, _, err = b.Get(t.Context(), "a")
	assert.ErrorContains(t, err, "Temporary Redirect")
}

// A store's certificate is checked, against the system's authorities and the one that is given.
func TestS3TLS(t *testing.T) {
	s3Environment(t)
	s := httptest.NewUnstartedServer(s3Handler(t))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	address := "s3://memories?endpoint=" + s.URL
	_, err := buckets.Open(t.Context(), address, broker.Access{})
	assert.Check(t, err != nil && strings.Contains(err.Error(), "certificate signed by unknown authority"), "%v", err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	assert.NilError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	put(t, opened(t, address, broker.Access{CA: ca}), "a", "x", objects.None)
	t.Setenv("AWS_CA_BUNDLE", ca)
	data, _ := get(t, opened(t, address, broker.Access{}), "a")
	assert.Equal(t, data, "x")
}

// What is wrong with an address, a bucket or the credentials is said in the user's words, without
// the secrets.
func TestS3Errors(t *testing.T) {
	s3Environment(t)
	endpoint := served(t, s3Handler(t))
	deny := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>")
	}))
	for address, want := range map[string]string{
		"s3://":      "want s3://BUCKET/PREFIX",
		"s3:///path": "want s3://BUCKET/PREFIX",
		"s3://me:very-secret@memories/of?endpoint=" + endpoint: "want the credentials in AWS_ACCESS_KEY_ID",
		"s3://memories/%zz-very-secret":                        "want s3://BUCKET/PREFIX",
		"s3://memories?bucket=other":                           `"bucket" means nothing in it`,
		"s3://memories/a b?endpoint=" + endpoint:               `"a b" is no name`,
		"s3://memories?endpoint=127.0.0.1:9000":                "wants the form https://HOST",
		"s3://memories?endpoint=" + endpoint + "/path":         "wants the form https://HOST",
		"s3://others?endpoint=" + endpoint:                     `has no bucket "others": make it first`,
		"s3://memories?endpoint=" + deny:                       "refuses these credentials",
	} {
		_, err := buckets.Open(t.Context(), address, broker.Access{})
		assert.Check(t, err != nil && strings.Contains(err.Error(), want), "%s: %v", address, err)
		assert.Check(t, !strings.Contains(fmt.Sprint(err), "very-secret"), "%v", err)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("AWS_ENDPOINT_URL_S3", endpoint) // comes first, as Amazon's programs have it
	put(t, opened(t, "s3://memories", broker.Access{}), "a", "x", objects.None)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err := buckets.Open(t.Context(), "s3://memories", broker.Access{})
	assert.Check(t, err != nil && strings.Contains(err.Error(), "no credentials for the object store"), "%v", err)
	profiles := filepath.Join(t.TempDir(), "credentials")
	assert.NilError(t, os.WriteFile(profiles, []byte("[default]\naws_access_key_id = me\naws_secret_access_key = very-secret\n"), 0o600))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", profiles)
	data, _ := get(t, opened(t, "s3://memories", broker.Access{}), "a")
	assert.Equal(t, data, "x")
}
