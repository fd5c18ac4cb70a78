package verifier_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// These tests fetch over real connections on loopback. What depends on the passing
// of time is in refresh_test.go.

func remote(t *testing.T, cfg verifier.RemoteConfig) *verifier.RemoteKeySet {
	t.Helper()
	keys, err := verifier.NewRemoteKeySet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Close)
	return keys
}

func newVerifier(t *testing.T, issuer string, keys verifier.KeySet) *verifier.Verifier {
	t.Helper()
	v, err := verifier.New(verifier.Config{Issuer: issuer, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantCode(t *testing.T, err error, want verifier.Code) {
	t.Helper()
	if got := verifier.CodeOf(err); got != want {
		t.Errorf("got code %q, want %q (%v)", got, want, err)
	}
}

// stranger returns a token whose kid the issuer's set does not have.
func stranger(issuer *verifiertest.Issuer, kid string) string {
	return issuer.Sign(map[string]any{"kid": kid}, map[string]any{
		"iss": issuer.URL(), "sub": "user-1", "exp": time.Now().Add(time.Hour).Unix(),
	})
}

// A gate holds up an issuer's answers until it is opened.
type gate struct {
	server  *httptest.Server
	open    chan struct{}
	arrived chan struct{} // one for each request
	fetches atomic.Int32
}

func newGate(t *testing.T, issuer *verifiertest.Issuer) *gate {
	g := &gate{open: make(chan struct{}), arrived: make(chan struct{}, 1000)}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		g.fetches.Add(1)
		g.arrived <- struct{}{}
		<-g.open
		_, _ = w.Write(issuer.JWKS())
	}))
	t.Cleanup(g.server.Close)
	return g
}

// After a restart a hundred requests come at once. They must not become a hundred fetches.
func TestRemoteManyCallersOneFetch(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	g := newGate(t, issuer)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: g.server.URL}))
	token := issuer.Token(nil)

	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := v.Verify(t.Context(), token)
			wantCode(t, err, "")
		})
	}
	<-g.arrived
	close(g.open)
	wg.Wait()
	if got := g.fetches.Load(); got != 1 {
		t.Errorf("got %d fetches, want 1", got)
	}
}

// An attacker who makes kids up must neither drum on the issuer nor hold up anybody.
func TestRemoteUnknownKidsOneFetchAndNobodyElseWaits(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	g := newGate(t, issuer)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: g.server.URL, Timeout: time.Minute}))
	good := issuer.Token(nil)
	g.open <- struct{}{}
	_, err := v.Verify(t.Context(), good)
	wantCode(t, err, "")
	<-g.arrived

	var wg sync.WaitGroup
	for i := range 500 {
		token := stranger(issuer, fmt.Sprint("made-up-", i))
		wg.Go(func() {
			_, err := v.Verify(t.Context(), token)
			wantCode(t, err, verifier.CodeKeyNotFound)
		})
	}
	<-g.arrived // the fetch is under way, and stays so until the gate opens
	for range 50 {
		_, err := v.Verify(t.Context(), good)
		wantCode(t, err, "")
	}
	close(g.open)
	wg.Wait()
	if got := g.fetches.Load(); got != 2 {
		t.Errorf("got %d fetches, want 2: the first, and one for all unknown kids", got)
	}
}

// The fetch belongs to the set: the first caller hangs up, the others still get keys.
func TestRemoteCallerWhoLeavesCancelsNothing(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	g := newGate(t, issuer)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: g.server.URL}))
	token := issuer.Token(nil)
	<-g.arrived

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := v.Verify(ctx, token)
	wantCode(t, err, verifier.CodeKeysUnavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to wrap context.Canceled", err)
	}
	others := make(chan error)
	go func() {
		_, err := v.Verify(t.Context(), token)
		others <- err
	}()
	close(g.open)
	wantCode(t, <-others, "")
	if got := g.fetches.Load(); got != 1 {
		t.Errorf("got %d fetches, want 1", got)
	}
}

// The incumbent answered 401 to the first request after a rotation.
func TestRemoteRotationWorksOnTheFirstRequest(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	keys := remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL()})
	v := newVerifier(t, issuer.URL(), keys)
	old := issuer.Token(nil)
	claims, err := v.Verify(t.Context(), old)
	wantCode(t, err, "")
	if !keys.Holds(claims.Key) {
		t.Error("the set does not hold the key it verified with")
	}

	issuer.Rotate()
	_, err = v.Verify(t.Context(), issuer.Token(nil))
	wantCode(t, err, "")

	// The key that left the set is dead, for remembered tokens too.
	if keys.Holds(claims.Key) {
		t.Error("the set still holds the removed key")
	}
	_, err = v.Verify(t.Context(), old)
	wantCode(t, err, verifier.CodeKeyNotFound)
}

// Without kids, a signature that no key verifies is all that a rotation shows.
func TestRemoteRotationWithoutKids(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL()}))
	token := func() string {
		return issuer.Sign(map[string]any{"kid": nil}, map[string]any{
			"iss": issuer.URL(), "sub": "user-1", "exp": time.Now().Add(time.Hour).Unix(),
		})
	}
	_, err := v.Verify(t.Context(), token())
	wantCode(t, err, "")
	issuer.Rotate()
	_, err = v.Verify(t.Context(), token())
	wantCode(t, err, "")
}

// A forged signature under a known kid is no reason to ask the issuer.
func TestRemoteForgedSignatureCausesNoFetch(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL()}))
	token := issuer.Token(nil)
	_, err := v.Verify(t.Context(), token)
	wantCode(t, err, "")
	forged := verifiertest.NewIssuer(t, verifiertest.WithIssuer(issuer.URL()))
	_, err = v.Verify(t.Context(), stranger(forged, issuer.Key().ID()))
	wantCode(t, err, verifier.CodeSignatureInvalid)
	if got := issuer.Fetches(); got != 1 {
		t.Errorf("got %d fetches, want 1", got)
	}
}

type badResponse struct {
	name    string
	serve   http.HandlerFunc
	mention string // in the error that is reported
}

func (c badResponse) run(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	var bad atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bad.Load() && r.URL.Path != "/elsewhere" {
			c.serve(w, r)
			return
		}
		_, _ = w.Write(issuer.JWKS())
	}))
	t.Cleanup(server.Close)
	reports := make(chan error, 100)
	keys := remote(t, verifier.RemoteConfig{
		URL: server.URL, Timeout: time.Minute, MaxBytes: 10_000, MaxKeys: 3,
		Refreshed: func(n int, err error) {
			if n != 1 {
				t.Errorf("reported %d keys, want 1", n)
			}
			reports <- err
		},
	})
	if err := <-reports; err != nil {
		t.Fatalf("good response refused: %v", err)
	}
	bad.Store(true)
	err := keys.Refresh(t.Context())
	if err == nil || !strings.Contains(err.Error(), c.mention) {
		t.Fatalf("got error %v, want one that mentions %q", err, c.mention)
	}
	if reported := <-reports; !errors.Is(reported, err) {
		t.Errorf("reported %v, want %v", reported, err)
	}
	if got := keys.Status(); !errors.Is(got.Err, err) || got.Keys != 1 {
		t.Errorf("got status %+v, want the error and the old key", got)
	}
	_, err = newVerifier(t, issuer.URL(), keys).Verify(t.Context(), issuer.Token(nil))
	wantCode(t, err, "")
}

// Whatever an issuer in trouble answers, the last good set stays.
func TestRemoteBadResponseKeepsTheLastGoodSet(t *testing.T) {
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	fourKeys := make([]map[string]any, 4)
	for i := range fourKeys {
		fourKeys[i] = verifiertest.NewKey(t, "ES256").JWK()
	}
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	for _, c := range []badResponse{
		{"no keys", text(`{"keys":[]}`), "no keys"},
		{"no usable key", text(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), "none of its 1 keys"},
		{"null", text(`null`), "no array named keys"},
		{"an error in HTML", text(`<html>`), "not a JSON object"},
		{"nothing", text(``), "not a JSON object"},
		{"too many keys", text(string(verifiertest.JWKS(t, fourKeys...))), "4 keys, more than 3"},
		{"too large", text(strings.Repeat(" ", 10_001)), "larger than 10000 bytes"},
		{"gzip bomb", gzipBomb(), "larger than 10000 bytes"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("{"))
		}, "unexpected EOF"},
		{"status 500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "status is 500"},
		{"status 204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "status is 204"},
		{"redirect to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}, "redirected to another host"},
		{"redirect to another scheme", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+r.Host, http.StatusFound)
		}, "redirected to another host"},
		{"redirect without end", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}, "redirected too often"},
	} {
		t.Run(c.name, c.run)
	}
}

// gzipBomb sends little that decompresses to eight megabytes.
func gzipBomb() http.HandlerFunc {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	_ = z.Close()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}
}

// The control of the refused redirects: within one host they are followed.
func TestRemoteFollowsRedirectOnTheSameHost(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks" {
			_, _ = w.Write(issuer.JWKS())
			return
		}
		http.Redirect(w, r, "/jwks", http.StatusFound)
	}))
	t.Cleanup(server.Close)
	keys := remote(t, verifier.RemoteConfig{URL: server.URL})
	_, err := newVerifier(t, issuer.URL(), keys).Verify(t.Context(), issuer.Token(nil))
	wantCode(t, err, "")
}

func TestRemoteConfigErrors(t *testing.T) {
	good := "https://issuer.example/jwks"
	for _, c := range []struct {
		name    string
		cfg     verifier.RemoteConfig
		mention string // empty: no error
	}{
		{"https", verifier.RemoteConfig{URL: good}, ""},
		{"no URL", verifier.RemoteConfig{}, "not an absolute https URL"},
		{"relative", verifier.RemoteConfig{URL: "/jwks"}, "not an absolute https URL"},
		{"file", verifier.RemoteConfig{URL: "file:///etc/passwd"}, "not an absolute https URL"},
		{"unparsable", verifier.RemoteConfig{URL: "https://a b/"}, "does not parse"},
		{"credentials", verifier.RemoteConfig{URL: "https://user:secret@issuer.example/"}, "credentials"},
		{"http", verifier.RemoteConfig{URL: "http://issuer.example/"}, "use https"},
		{"http, name like loopback", verifier.RemoteConfig{URL: "http://127.0.0.1.example/"}, "use https"},
		{"http, allowed", verifier.RemoteConfig{URL: "http://issuer.example/", InsecureHTTP: true}, ""},
		{"http, loopback", verifier.RemoteConfig{URL: "http://127.0.0.1:1/"}, ""},
		{"http, loopback, IPv6", verifier.RemoteConfig{URL: "http://[::1]:1/"}, ""},
		{"http, localhost", verifier.RemoteConfig{URL: "http://localhost:1/"}, ""},
		{"bounds the wrong way round", verifier.RemoteConfig{URL: good, MinRefresh: time.Hour, MaxRefresh: time.Minute}, "interval"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Client = &http.Client{Transport: nowhere{}}
			keys, err := verifier.NewRemoteKeySet(c.cfg)
			if err == nil {
				keys.Close()
			}
			if c.mention == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.mention) {
				t.Errorf("got error %v, want %q", err, c.mention)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error holds the password: %v", err)
			}
		})
	}
}

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

// A URL may carry a secret in its query. It must not come out in an error.
func TestRemoteErrorsDoNotHoldTheQuery(t *testing.T) {
	keys := remote(t, verifier.RemoteConfig{
		URL: "https://issuer.example/jwks?key=secret", Client: &http.Client{Transport: nowhere{}},
	})
	err := keys.Refresh(t.Context())
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), keys.URL()) {
		t.Errorf("got error %v, want one that names %s", err, keys.URL())
	}
}

// The proxy of the process's environment is the one of http.DefaultTransport.
func TestRemoteUsesTheProxyOfTheEnvironment(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.String()
		_, _ = w.Write(issuer.JWKS())
	}))
	t.Cleanup(proxy.Close)
	transport := http.DefaultTransport.(*http.Transport)
	before := transport.Proxy
	t.Cleanup(func() { transport.Proxy = before })
	transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }

	keys := remote(t, verifier.RemoteConfig{URL: "http://issuer.example/jwks", InsecureHTTP: true})
	_, err := newVerifier(t, issuer.URL(), keys).Verify(t.Context(), issuer.Token(nil))
	wantCode(t, err, "")
	if got := <-asked; got != "http://issuer.example/jwks" {
		t.Errorf("proxy was asked for %s", got)
	}
}

// A certificate that nobody vouches for must not be taken.
func TestRemoteVerifiesTheCertificate(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(issuer.JWKS())
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	if err := remote(t, verifier.RemoteConfig{URL: server.URL}).Refresh(t.Context()); err == nil {
		t.Error("a set was taken from a server with an unknown certificate")
	}
	if err := remote(t, verifier.RemoteConfig{URL: server.URL, Client: server.Client()}).Refresh(t.Context()); err != nil {
		t.Errorf("with its certificate known: %v", err)
	}
}

// Caddy makes and closes key sets with every reload. The incumbent left five
// goroutines behind each time.
func TestRemoteCloseLeavesNoGoroutine(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	token := issuer.Token(nil)
	for i := range 20 {
		cfg := verifier.RemoteConfig{URL: issuer.JWKSURL()}
		if i%2 == 0 {
			cfg.Client = &http.Client{Transport: &http.Transport{}} // which would keep connections
		}
		keys, err := verifier.NewRemoteKeySet(cfg)
		if err != nil {
			t.Fatal(err)
		}
		v := newVerifier(t, issuer.URL(), keys)
		_, err = v.Verify(t.Context(), token)
		wantCode(t, err, "")
		keys.Close()
		keys.Close() // twice is once
		_, err = v.Verify(t.Context(), token)
		wantCode(t, err, "")
		_, err = v.Verify(t.Context(), stranger(issuer, "unknown"))
		wantCode(t, err, verifier.CodeKeysUnavailable)
	}
	var left string
	for range 1000 {
		if left = strangers(); left == "" {
			return
		}
		time.Sleep(5 * time.Millisecond) // connections take a moment to be torn down
	}
	t.Errorf("goroutines left behind:\n%s", left)
}

// strangers returns the goroutines of key sets, and of HTTP clients on their behalf.
func strangers() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var found []string
	for goroutine := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(goroutine, "RemoteKeySet).") || strings.Contains(goroutine, "http.(*persistConn)") {
			found = append(found, goroutine)
		}
	}
	return strings.Join(found, "\n\n")
}

// Everything at once, for the race detector.
func TestRemoteConcurrentUse(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	keys := remote(t, verifier.RemoteConfig{URL: issuer.JWKSURL(), UnknownKey: time.Nanosecond})
	v := newVerifier(t, issuer.URL(), keys)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 20 {
				if err := keys.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
				claims, err := v.Verify(t.Context(), issuer.Token(nil))
				wantCode(t, err, "")
				keys.Holds(claims.Key)
				_, err = v.Verify(t.Context(), stranger(issuer, fmt.Sprint(i)))
				wantCode(t, err, verifier.CodeKeyNotFound)
				keys.Status()
			}
		})
	}
	wg.Wait()
}
