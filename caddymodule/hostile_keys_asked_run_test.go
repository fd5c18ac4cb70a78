package caddymodule_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// trap is a server that tokens name, and that nobody may ask.
type trap struct {
	url   string
	asked atomic.Int32 // connections
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	tr := &trap{url: "http://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tr.asked.Add(1)
			_ = conn.Close()
		}
	}()
	return tr
}

// tokens are signed by a stranger and name the trap wherever a token can name something.
func (tr *trap) tokens(t *testing.T, issuer string) map[string]string {
	t.Helper()
	stranger := verifiertest.NewKey(t, "ES256")
	token := func(header, claims map[string]any) string {
		all := map[string]any{
			"iss": issuer, "sub": "alice", "aud": audience, "scope": "wallet:export",
			"exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
		}
		for name, v := range claims {
			all[name] = v
		}
		return stranger.Token(header, all)
	}
	jwk := stranger.JWK()
	jwk["x5u"] = tr.url + "/cert"
	return map[string]string{
		"jku":  token(map[string]any{"jku": tr.url + "/jwks"}, nil),
		"x5u":  token(map[string]any{"x5u": tr.url + "/cert"}, nil),
		"kid":  token(map[string]any{"kid": tr.url + "/key"}, nil),
		"jwk":  token(map[string]any{"jwk": jwk}, nil),
		"x5c":  token(map[string]any{"x5c": []string{tr.certificate(t, stranger)}}, nil),
		"crit": token(map[string]any{"crit": []string{"jku"}, "jku": tr.url + "/jwks"}, nil),
		"iss":  token(nil, map[string]any{"iss": tr.url}),
		"aud":  token(nil, map[string]any{"aud": []string{audience, tr.url}}),
		// What metadata and other formats of tokens have, in a place where nobody should look for it.
		"jwks_uri": token(map[string]any{"jwks_uri": tr.url}, map[string]any{"jwks_uri": tr.url, "jku": tr.url}),
		// Distributed claims (OpenID Connect Core 1.0 section 5.6.2).
		"_claim_sources": token(nil, map[string]any{
			"_claim_names":   map[string]any{"email": "there"},
			"_claim_sources": map[string]any{"there": map[string]any{"endpoint": tr.url}},
		}),
		"iss with credentials": token(nil, map[string]any{"iss": strings.Replace(tr.url, "//", "//"+strings.TrimPrefix(issuer, "http://")+"@", 1)}),
	}
}

// certificate has the trap wherever a certificate can name who is to be asked about it.
func (tr *trap) certificate(t *testing.T, key *verifiertest.Key) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IssuingCertificateURL: []string{tr.url + "/issuer"}, OCSPServer: []string{tr.url + "/ocsp"}, CRLDistributionPoints: []string{tr.url + "/crl"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Private().Public(), key.Private())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Whoever sends a token must not have the gateway ask servers in its own network, or the sender's own for
// the key to believe (CVE-2018-0114's jku; CVE-2026-41413).
func TestTokenDoesNotSayWhoIsAsked(t *testing.T) {
	for _, source := range []string{"jwks_url", "discovery"} {
		t.Run(source, func(t *testing.T) {
			g, tr := prepareAdmin(t), newTrap(t)
			lines := map[string]string{"jwks_url": "jwks_url " + g.issuer.JWKSURL(), "discovery": "discovery on"}
			g.load(g.keysBy(lines[source], "assertion {\n type step-up+jwt\n}"), plainSite)
			session := g.signIn("alice")
			fetches := g.issuer.Fetches()
			for name, token := range tr.tokens(t, g.issuer.URL()) {
				g.secret(token)
				for way, r := range map[string]request{
					"gate":                 {path: "/wallets/1", bearer: token},
					"sign-in":              {method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + token + `"}`},
					"assertion":            {method: "POST", path: "/wallets/1/export", bearer: session, assertion: token},
					"elevated":             {method: "POST", path: "/wallets/1/export", bearer: session, elevated: token},
					"verify":               {method: "POST", path: endpoints + "/externalAuth/verify", bearer: session, body: `{"jwt":"` + token + `"}`},
					"refresh":              {method: "POST", path: endpoints + "/refresh", bearer: token},
					"check":                {at: g.admin, method: "POST", path: on("default", "check"), body: `{"encodedJwt":"` + token + `"}`},
					"check of a step-up":   {at: g.admin, method: "POST", path: on("default", "check"), body: `{"assertion":"` + token + `","subject":"alice"}`},
					"gate, told elsewhere": {path: "/wallets/1", bearer: token, header: http.Header{"X-Forwarded-Host": {strings.TrimPrefix(tr.url, "http://")}, "Forwarded": {"host=" + strings.TrimPrefix(tr.url, "http://")}}},
				} {
					got := g.do(r)
					if good := strings.Contains(got.raw, `"valid":true`); got.status < 400 && !strings.HasPrefix(way, "check") || good {
						t.Errorf("%s, %s: %d %s, want it refused", name, way, got.status, got.raw)
					}
				}
			}
			if g.issuer.Fetches() == fetches {
				t.Error("the configured issuer was not asked for the unknown keys: this test asks for nothing")
			}
			tr.wantOneAfter(t)
		})
	}
}

// wantOneAfter wants the trap asked by nobody but by this call, which comes last.
func (tr *trap) wantOneAfter(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(tr.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	pollUntil(t, "the trap counts its control", func() bool { return tr.asked.Load() > 0 })
	if got := tr.asked.Load(); got != 1 {
		t.Errorf("a server that only tokens name was asked %d times", got-1)
	}
}

// A place of keys that is made of the request is one that whoever sends it chooses (caddy-jwt lets
// its URL be that): such a config does not load. What the operator's machine says may stand there.
func TestJWKSFromTheRequestIsALoadError(t *testing.T) {
	t.Setenv("BYOA_KEYS", "auth.example.com")
	const issuer = "https://auth.example.com"
	line := map[string]func(placeholder string) string{
		"jwks_url": func(p string) string { return "issuer " + issuer + "\njwks_url https://" + p + "/jwks" },
		"its path": func(p string) string {
			return "issuer " + issuer + "\njwks_url https://auth.example.com/" + p + "/jwks"
		},
		"jwks_file": func(p string) string { return "issuer " + issuer + "\njwks_file /keys/" + p + ".json" },
		"discovery": func(p string) string { return "issuer https://" + p + "\ndiscovery on" },
		"provider": func(p string) string {
			return "issuer " + issuer + "\njwks_url " + issuer + "\nprovider https://b.example {\n jwks_url https://" + p + "/jwks\n}"
		},
	}
	config := func(lines string) string {
		return "{\nbyoa {\nenvironment {\n" + lines + "\naudience a\nstore memory\n}\n}\n}\n"
	}
	for name, of := range line {
		t.Run(name, func(t *testing.T) {
			for _, placeholder := range []string{
				"{http.request.host}", "{http.request.header.X-Tenant}", "{http.request.uri.query.iss}", "{http.request.cookie.tenant}",
				"{http.request.remote.host}", "{http.vars.tenant}", "{http.auth.user.id}", "{byoa.claims.iss}", "{host}", "{header.X-Tenant}", "{query.iss}",
			} {
				err := validate(t, config(of(placeholder)))
				if err == nil || !strings.Contains(err.Error(), "placeholder "+placeholder) {
					t.Errorf("%s: error %v, want one that names it", placeholder, err)
				}
			}
			if err := validate(t, config(of("{env.BYOA_KEYS}"))); err != nil {
				t.Errorf("from the operator's environment: %v", err)
			}
		})
	}
}
