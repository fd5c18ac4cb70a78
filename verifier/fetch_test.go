package verifier_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

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
	if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\a\n") || strings.Contains(text, "hunter2") {
		t.Errorf("the error is unfit for a log: %q", text)
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
	usable := string(verifiertest.JWKS(t, verifiertest.NewKey(t, "ES256").JWK()))
	usable = strings.TrimSuffix(strings.TrimPrefix(usable, `{"keys":`), "}")
	fourKeys := make([]map[string]any, 4)
	for i := range fourKeys {
		fourKeys[i] = verifiertest.NewKey(t, "ES256").JWK()
	}
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	for _, c := range []badResponse{
		{"no keys", text(`{"keys":[]}`), "no keys"},
		{"no usable key", text(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), "none of its 1 keys"},
		{"null", text(`null`), "not a JSON object"},
		{"an error in HTML", text(`<html>`), "not a JSON object"},
		{"nothing", text(``), "not a JSON object"},
		{"keys twice", text(`{"keys":` + usable + `,"ke\u0079s":` + usable + `}`), "a member twice"},
		{"two sets", text(`{"keys":` + usable + `}{}`), "data after its end"},
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
		}, `redirected from http to "https"`},
		{"redirect to another port", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, `redirected to another host, "127.0.0.1:1"`},
		{"redirect with credentials", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://user:hunter2@"+r.Host+"/elsewhere", http.StatusFound)
		}, "redirected to a URL that holds credentials"},
		{"redirect to nowhere", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[hunter2"+strings.Repeat("x", 50_000))
			w.WriteHeader(http.StatusFound)
		}, "a Location that does not parse"},
		{"redirect to a long host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+strings.Repeat("x", 50_000)+"/", http.StatusFound)
		}, "redirected to another host"},
		{"an endless status", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = conn.Write([]byte("HTTP/1.1 200\a" + strings.Repeat("x", 50_000) + "\r\n\r\n"))
			_ = conn.Close()
		}, "malformed HTTP"},
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

// Host names know no case, and a default port is there whether written or not.
func TestRemoteFollowsRedirectToTheSameHostSpelledOtherwise(t *testing.T) {
	for _, c := range []struct{ url, location, mention string }{
		{"https://issuer.example/old", "https://Issuer.EXAMPLE:443/new", ""},
		{"https://Issuer.example:443/old", "https://issuer.example/new", ""},
		{"http://issuer.example/old", "http://issuer.example:80/new", ""},
		{"https://issuer.example/old", "https://issuer.example:444/new", "another host"},
		{"https://issuer.example/old", "http://issuer.example/new", `redirected from https to "http"`},
		{"https://issuer.example/old", "http://issuer.example:443/new", `redirected from https to "http"`},
		{"https://issuer.example/old", "https://issuer.example.evil.example/new", "another host"},
	} {
		s := newSite()
		s.handle("/old", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", c.location)
			w.WriteHeader(http.StatusFound)
		})
		s.serve("/new", verifiertest.JWKS(t, verifiertest.NewKey(t, "ES256").JWK()))
		keys := remote(t, verifier.RemoteConfig{URL: c.url, Client: &http.Client{Transport: s}, InsecureHTTP: true})
		err := keys.Refresh(t.Context())
		if (c.mention == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.mention) {
			t.Errorf("%s to %s: got error %v, want %q", c.url, c.location, err, c.mention)
		}
	}
}

// Cache-Control is followed within bounds.
func TestRemoteRefreshInterval(t *testing.T) {
	for _, c := range []struct {
		cacheControl string
		want         time.Duration
	}{
		{"", 15 * time.Minute},
		{"public", 15 * time.Minute},
		{"max-age=600", 10 * time.Minute},
		{"public, Max-Age=600, must-revalidate", 10 * time.Minute},
		{`max-age="600"`, 10 * time.Minute},
		{"max-age=1", time.Minute},
		{"max-age=0", time.Minute},
		{"max-age=43199", 12*time.Hour - time.Second},
		{"max-age=86400", 12 * time.Hour},
		{"max-age=999999", 12 * time.Hour},
		{"max-age=99999999999999999999", 12 * time.Hour},
		{"max-age=-5", 15 * time.Minute},
		{"max-age=soon", 15 * time.Minute},
		{"s-maxage=600", 15 * time.Minute},
		{"no-cache", time.Minute},
		{"max-age=600, no-store", time.Minute},
	} {
		t.Run(c.cacheControl, func(t *testing.T) {
			bubble(t, func(t *testing.T, o *origin) {
				o.header.Set("Cache-Control", c.cacheControl)
				keys, _ := start(t, o.config())
				synctest.Wait()
				if got := time.Until(keys.Status().Next); got != c.want {
					t.Errorf("next refresh is due in %s, want %s", got, c.want)
				}
				time.Sleep(c.want - time.Second)
				synctest.Wait()
				if got := o.count(); got != 1 {
					t.Errorf("got %d fetches a second before the interval ends, want 1", got)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := o.count(); got != 2 {
					t.Errorf("got %d fetches a second after the interval, want 2", got)
				}
			})
		})
	}
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
		{"fragment", verifier.RemoteConfig{URL: "https://issuer.example/jwks#a"}, "fragment"},
		{"http", verifier.RemoteConfig{URL: "http://issuer.example/"}, "use https"},
		{"http, name like loopback", verifier.RemoteConfig{URL: "http://127.0.0.1.example/"}, "use https"},
		{"http, allowed", verifier.RemoteConfig{URL: "http://issuer.example/", InsecureHTTP: true}, ""},
		{"http, loopback", verifier.RemoteConfig{URL: "http://127.0.0.1:1/"}, ""},
		{"http, loopback, IPv6", verifier.RemoteConfig{URL: "http://[::1]:1/"}, ""},
		{"http, localhost", verifier.RemoteConfig{URL: "http://localhost:1/"}, ""},
		{"bounds the wrong way round", verifier.RemoteConfig{URL: good, MinRefresh: time.Hour, MaxRefresh: time.Minute}, "interval"},
		{"a set that ends before it is refreshed", verifier.RemoteConfig{URL: good, MinRefresh: time.Minute, MaxStale: 2*time.Minute - 1}, "interval"},
		{"a set that just outlives that", verifier.RemoteConfig{URL: good, MinRefresh: time.Minute, MaxStale: 2 * time.Minute}, ""},
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

// It may carry one in its path, too. Then it is to be shown as its owner says, whatever goes wrong.
func TestRemoteErrorsShowTheURLAsToldTo(t *testing.T) {
	const shown = "https://issuer.example/k/{env.KEY}/jwks"
	answer := func(status int, header http.Header, body string) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})
	}
	for name, transport := range map[string]http.RoundTripper{
		"no network":               nowhere{},
		"a status":                 answer(503, nil, ""),
		"nonsense":                 answer(200, nil, "secret"),
		"redirected for ever":      answer(302, http.Header{"Location": {"/k/secret/jwks"}}, ""),
		"redirected away":          answer(302, http.Header{"Location": {"https://other.example/k/secret/jwks"}}, ""),
		"redirected to no address": answer(302, http.Header{"Location": {"http://[/k/secret"}}, ""),
	} {
		for told, want := range map[string]string{shown: shown, "": "https://issuer.example/k/secret/jwks"} {
			keys := remote(t, verifier.RemoteConfig{
				URL: "https://issuer.example/k/secret/jwks?key=secret", ShownURL: told, Client: &http.Client{Transport: transport},
			})
			if got := keys.URL(); got != want {
				t.Errorf("%s: the URL is %s, want %s", name, got, want)
			}
			err := keys.Refresh(t.Context())
			if err == nil || !strings.Contains(err.Error(), want+": ") || strings.Contains(strings.Replace(err.Error(), want, "", 1), "secret") {
				t.Errorf("%s: got error %v, want one that names %s and says no more of the URL", name, err, want)
			}
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// So is one that is refused at once. One whose keys were found by discovery is nobody's secret.
func TestRemoteConfigErrorsShowTheURLAsToldTo(t *testing.T) {
	for _, url := range []string{"http://issuer.example/k/secret", "ftp://issuer.example/k/secret"} {
		for told, want := range map[string]string{"{env.URL}": "{env.URL}", "": url} {
			_, err := verifier.NewRemoteKeySet(verifier.RemoteConfig{URL: url, ShownURL: told})
			if err == nil || !strings.Contains(err.Error(), `"`+want+`"`) || strings.Contains(err.Error(), "secret") != (told == "") {
				t.Errorf("got error %v, want one that names %s", err, want)
			}
		}
	}
	keys := remote(t, verifier.RemoteConfig{Issuer: "https://issuer.example", Discovery: true, ShownURL: "{env.URL}", Client: &http.Client{Transport: nowhere{}}})
	if got := keys.URL(); got != "https://issuer.example/.well-known/openid-configuration" {
		t.Errorf("the metadata is at %s, want where the issuer has it", got)
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
