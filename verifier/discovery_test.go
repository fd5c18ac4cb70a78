package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

const (
	openIDPath = "/.well-known/openid-configuration"
	oauthPath  = "/.well-known/oauth-authorization-server"
)

// A site answers by path, and remembers what it was asked for. It serves over a real
// connection, or in a bubble, where there is none, as a transport.
type site struct {
	mu    sync.Mutex // guards all below
	pages map[string]http.HandlerFunc
	asked []string
}

func newSite() *site { return &site{pages: make(map[string]http.HandlerFunc)} }

// serve makes path answer with body.
func (s *site) serve(path string, body []byte) {
	s.handle(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

func (s *site) handle(path string, page http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = page
}

// news returns what was asked for since the last call.
func (s *site) news() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.EscapedPath())
	page := s.pages[r.URL.EscapedPath()]
	s.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := answer.Result()
	response.Request = r
	return response, nil
}

// listen serves the site on loopback, and returns its URL.
func (s *site) listen(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

func metadata(issuer, jwksURI string) []byte {
	b, err := json.Marshal(map[string]any{"issuer": issuer, "jwks_uri": jwksURI, "grant_types_supported": []string{"a"}})
	if err != nil {
		panic(err)
	}
	return b
}

// discovered returns a key set and a verifier of a key set that discovers.
func discovered(t *testing.T, cfg verifier.RemoteConfig) (*verifier.RemoteKeySet, *verifier.Verifier) {
	t.Helper()
	cfg.Discovery = true
	keys := remote(t, cfg)
	return keys, newVerifier(t, cfg.Issuer, keys)
}

func tokenOf(key *verifiertest.Key, issuer string) string {
	return key.Token(nil, map[string]any{"iss": issuer, "sub": "user-1", "exp": 20_000_000_000})
}

// OpenID Connect Discovery 1.0 section 4.1 appends, RFC 8414 section 3.1 inserts, and both
// drop a slash at the end of the issuer first.
func TestDiscoveryAsksWhereTheStandardsSay(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	for _, c := range []struct{ issuer, openID, oauth string }{
		{"", openIDPath, oauthPath},
		{"/", openIDPath, oauthPath},
		{"/tenant", "/tenant" + openIDPath, oauthPath + "/tenant"},
		{"/tenant/", "/tenant" + openIDPath, oauthPath + "/tenant"},
		{"/a/b%2Fc", "/a/b%2Fc" + openIDPath, oauthPath + "/a/b%2Fc"},
	} {
		for _, served := range []string{c.openID, c.oauth} {
			t.Run(c.issuer+" by "+served, func(t *testing.T) {
				s := newSite()
				base := s.listen(t)
				issuer := base + c.issuer
				s.serve(served, metadata(issuer, base+"/keys"))
				s.serve("/keys", verifiertest.JWKS(t, key.JWK()))
				_, v := discovered(t, verifier.RemoteConfig{Issuer: issuer})
				verify(t, v, tokenOf(key, issuer), "")
				want := []string{c.openID, "/keys"}
				if served == c.oauth {
					want = []string{c.openID, c.oauth, "/keys"}
				}
				if got := s.news(); !slices.Equal(got, want) {
					t.Errorf("asked for %q, want %q", got, want)
				}
			})
		}
	}
}

// Large providers have their keys on another host than their metadata. It is that host
// then which redirects must stay on.
func TestDiscoveryOfKeysOnAnotherHost(t *testing.T) {
	key, s, other := verifiertest.NewKey(t, "ES256"), newSite(), newSite()
	issuer, keysHost := s.listen(t), other.listen(t)
	s.serve(openIDPath, metadata(issuer, keysHost+"/keys"))
	s.serve("/keys", verifiertest.JWKS(t, key.JWK()))
	other.serve("/keys", verifiertest.JWKS(t, key.JWK()))
	keys, v := discovered(t, verifier.RemoteConfig{Issuer: issuer})
	verify(t, v, tokenOf(key, issuer), "")

	for _, c := range []struct{ name, to, mention string }{
		{"back to the issuer", issuer + "/keys", "redirected to another host"},
		{"within the host", "/moved", ""},
	} {
		other.handle("/keys", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, c.to, http.StatusFound) })
		other.serve("/moved", verifiertest.JWKS(t, key.JWK()))
		err := keys.Refresh(t.Context())
		if (c.mention == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.mention) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.mention)
		}
	}
	if got := s.news(); slices.Contains(got, "/keys") {
		t.Errorf("the redirect was followed: %q", got)
	}
}

// An issuer that is asked over https has no business to name what listens on the loopback
// of the gateway, unless the operator trusts every way.
func TestDiscoveryOverHTTPSLeadsToNoPlainHTTP(t *testing.T) {
	key, s, inside := verifiertest.NewKey(t, "ES256"), newSite(), newSite()
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	s.serve(openIDPath, metadata(server.URL, inside.listen(t)+"/keys"))
	inside.serve("/keys", verifiertest.JWKS(t, key.JWK()))
	for _, insecure := range []bool{false, true} {
		keys, _ := discovered(t, verifier.RemoteConfig{Issuer: server.URL, Client: server.Client(), InsecureHTTP: insecure})
		err := keys.Refresh(t.Context())
		if insecure != (err == nil) || err != nil && !strings.Contains(err.Error(), "though the issuer is https") {
			t.Errorf("insecure %t: got error %v", insecure, err)
		}
		if asked := len(inside.news()) > 0; asked != insecure {
			t.Errorf("insecure %t: what listens on loopback was asked: %t", insecure, asked)
		}
	}
	// Of the issuer itself the certificate is verified too.
	keys, _ := discovered(t, verifier.RemoteConfig{Issuer: server.URL})
	if err := keys.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want one about the certificate", err)
	}
}

// bubbleSite is an issuer in a bubble, and the config that discovers it.
func bubbleSite(t *testing.T, run func(t *testing.T, s *site, key *verifiertest.Key, cfg verifier.RemoteConfig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		key, s := verifiertest.NewKey(t, "ES256"), newSite()
		s.serve(openIDPath, metadata(originIssuer, "https://keys.example/v1"))
		s.serve("/v1", verifiertest.JWKS(t, key.JWK()))
		run(t, s, key, verifier.RemoteConfig{Issuer: originIssuer, Client: &http.Client{Transport: s}})
	})
}

// The set moves, and its old place serves the old keys for ever. By the next refresh
// nobody believes those any more.
func TestDiscoveryFollowsASetThatMoves(t *testing.T) {
	bubbleSite(t, func(t *testing.T, s *site, old *verifiertest.Key, cfg verifier.RemoteConfig) {
		_, v := discovered(t, cfg)
		verify(t, v, tokenOf(old, originIssuer), "")
		young := verifiertest.NewKey(t, "ES256")
		s.serve("/v2", verifiertest.JWKS(t, young.JWK()))
		s.serve(openIDPath, metadata(originIssuer, "https://other.example/v2"))
		s.news()

		time.Sleep(15*time.Minute + time.Second)
		synctest.Wait()
		verify(t, v, tokenOf(young, originIssuer), "")
		if got, want := s.news(), []string{openIDPath, "/v2"}; !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
		time.Sleep(time.Minute)
		verify(t, v, tokenOf(old, originIssuer), verifier.CodeKeyNotFound)
	})
}

// The metadata may be kept for long. That says nothing about the keys.
func TestDiscoveryRefreshesByTheSetAlone(t *testing.T) {
	bubbleSite(t, func(t *testing.T, s *site, key *verifiertest.Key, cfg verifier.RemoteConfig) {
		s.handle(openIDPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=86400")
			_, _ = w.Write(metadata(originIssuer, "https://keys.example/v1"))
		})
		s.handle("/v1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=300")
			_, _ = w.Write(verifiertest.JWKS(t, key.JWK()))
		})
		keys, _ := discovered(t, cfg)
		synctest.Wait()
		if got := time.Until(keys.Status().Next); got != 5*time.Minute {
			t.Errorf("next refresh is due in %s, want 5m", got)
		}
	})
}

// Two documents, each within the limit, must not hold a caller twice as long.
func TestDiscoveryHasOneTimeLimit(t *testing.T) {
	bubbleSite(t, func(t *testing.T, s *site, key *verifiertest.Key, cfg verifier.RemoteConfig) {
		keys, v := discovered(t, cfg)
		verify(t, v, tokenOf(key, originIssuer), "")
		slowly := func(path string) {
			page := s.pages[path]
			s.handle(path, func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(3 * time.Second):
					page(w, r)
				case <-r.Context().Done():
				}
			})
		}
		slowly(openIDPath)
		if err := keys.Refresh(t.Context()); err != nil {
			t.Errorf("control, one that takes three seconds: %v", err)
		}
		slowly("/v1")
		begun := time.Now()
		err := keys.Refresh(t.Context())
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
			t.Errorf("got %v after %s, want that time ran out after 5s", err, took)
		}
		verify(t, v, tokenOf(key, originIssuer), "")
	})
}

// However many kids are made up, the metadata is asked no more often than the keys.
func TestDiscoveryUnknownKids(t *testing.T) {
	bubbleSite(t, func(t *testing.T, s *site, key *verifiertest.Key, cfg verifier.RemoteConfig) {
		_, v := discovered(t, cfg)
		verify(t, v, tokenOf(key, originIssuer), "")
		s.news()
		for range 100 {
			verify(t, v, tokenOf(verifiertest.NewKey(t, "EdDSA"), originIssuer), verifier.CodeKeyNotFound)
		}
		if got, want := s.news(), []string{openIDPath, "/v1"}; !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
	})
}

// The issuer is down at a restart: metadata and keys are both as good as they were. But a
// set that was discovered serves no config that names its URL, nor the other way round.
func TestDiscoverySnapshotIsBoundToWhereItWasDiscovered(t *testing.T) {
	const jwksURL = "https://keys.example/v1"
	for _, c := range []struct {
		name   string
		change func(*verifier.RemoteConfig)
		want   verifier.Code
	}{
		{"the same", func(*verifier.RemoteConfig) {}, ""},
		{"another issuer", func(cfg *verifier.RemoteConfig) { cfg.Issuer = "https://other.example" }, verifier.CodeKeysUnavailable},
		{"by URL", func(cfg *verifier.RemoteConfig) { cfg.Discovery, cfg.URL = false, jwksURL }, verifier.CodeKeysUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubbleSite(t, func(t *testing.T, s *site, key *verifiertest.Key, cfg verifier.RemoteConfig) {
				cfg.Discovery, cfg.Snapshots = true, &memory{}
				before := remote(t, cfg)
				must(t, before.Refresh(t.Context()))
				before.Close()
				cfg.Client = &http.Client{Transport: nowhere{}}
				c.change(&cfg)
				verify(t, newVerifier(t, cfg.Issuer, remote(t, cfg)), tokenOf(key, cfg.Issuer), c.want)
			})
		})
	}
}

// The other way round.
func TestDiscoveryTakesNoSnapshotOfAURL(t *testing.T) {
	bubbleSite(t, func(t *testing.T, _ *site, key *verifiertest.Key, cfg verifier.RemoteConfig) {
		cfg.URL, cfg.Snapshots = "https://keys.example/v1", &memory{}
		before := remote(t, cfg)
		must(t, before.Refresh(t.Context()))
		before.Close()
		cfg.URL, cfg.Client = "", &http.Client{Transport: nowhere{}}
		_, v := discovered(t, cfg)
		verify(t, v, tokenOf(key, originIssuer), verifier.CodeKeysUnavailable)
	})
}

func TestDiscoveryConfigErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		cfg     verifier.RemoteConfig
		mention string // empty: no error
	}{
		{"https", verifier.RemoteConfig{Issuer: "https://issuer.example"}, ""},
		{"with a path", verifier.RemoteConfig{Issuer: "https://issuer.example/a/"}, ""},
		{"with a URL too", verifier.RemoteConfig{Issuer: "https://issuer.example", URL: "https://issuer.example/jwks"}, "choose one"},
		{"no issuer", verifier.RemoteConfig{}, "not an absolute https URL"},
		{"a name", verifier.RemoteConfig{Issuer: "issuer.example"}, "not an absolute https URL"},
		{"a URN", verifier.RemoteConfig{Issuer: "urn:example:issuer"}, "not an absolute https URL"},
		{"a query", verifier.RemoteConfig{Issuer: "https://issuer.example?a=b"}, "holds a query"},
		{"an empty query", verifier.RemoteConfig{Issuer: "https://issuer.example?"}, "holds a query"},
		{"a fragment", verifier.RemoteConfig{Issuer: "https://issuer.example#a"}, "holds a fragment"},
		{"an empty fragment", verifier.RemoteConfig{Issuer: "https://issuer.example#"}, "holds a fragment"},
		{"credentials", verifier.RemoteConfig{Issuer: "https://user:secret@issuer.example"}, "credentials"},
		{"http", verifier.RemoteConfig{Issuer: "http://issuer.example"}, "use https"},
		{"http, allowed", verifier.RemoteConfig{Issuer: "http://issuer.example", InsecureHTTP: true}, ""},
		{"http, loopback", verifier.RemoteConfig{Issuer: "http://127.0.0.1:1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Discovery, c.cfg.Client = true, &http.Client{Transport: nowhere{}}
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

// The jwks_uri may carry a secret in its query. It must not come out in an error.
func TestDiscoveryErrorsDoNotHoldTheQuery(t *testing.T) {
	s := newSite()
	issuer := s.listen(t)
	s.serve(openIDPath, metadata(issuer, issuer+"/keys?key=secret"))
	keys, _ := discovered(t, verifier.RemoteConfig{Issuer: issuer})
	err := keys.Refresh(t.Context())
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), issuer+"/keys") {
		t.Errorf("got error %v, want one that names the set without its query", err)
	}
	if got := keys.URL(); got != issuer+openIDPath {
		t.Errorf("the set is at %s, want what is asked for it first", got)
	}
	var status *verifier.Error
	_, err = newVerifier(t, issuer, keys).Verify(t.Context(), tokenOf(verifiertest.NewKey(t, "ES256"), issuer))
	if !errors.As(err, &status) || strings.Contains(err.Error(), issuer) {
		t.Errorf("got %v, want a verdict that tells a client nothing of where keys are", err)
	}
}
