package caddymodule_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// forgery is a token that nobody with a key of the issuer has made, and what is said of it: while the issuer's
// keys are unknown, and when they are known again.
type forgery struct {
	name, token string
	then, after string
}

// forgeries would each be good for a gateway that has a key where it has none: its own, an empty one, one that
// is known to everybody because it was a default (CVE-2026-31837, CVE-2026-53709).
func forgeries(g *running) []forgery {
	g.t.Helper()
	claims := map[string]any{"iss": g.issuer.URL(), "sub": "alice", "aud": audience, "exp": time.Now().Add(time.Hour).Unix()}
	stranger := verifiertest.NewKey(g.t, "ES256")
	kid, own := g.ownKey()
	const unknown, refused = "keys_unavailable", "algorithm_not_allowed"
	all := []forgery{
		{"by a stranger", stranger.Token(nil, claims), unknown, "key_not_found"},
		{"by a stranger, without kid", stranger.Token(map[string]any{"kid": nil}, claims), unknown, "signature_invalid"},
		{"by a stranger, under the issuer's kid", stranger.Token(map[string]any{"kid": g.issuer.Key().ID()}, claims), unknown, "signature_invalid"},
		{"by a stranger, with the key in it", stranger.Token(map[string]any{"jwk": stranger.JWK()}, claims), unknown, "key_not_found"},
		{"by the gateway's own key", compactBy(g.t, map[string]any{"alg": "ES256", "kid": kid}, claims, own), unknown, "key_not_found"},
		{"by the gateway's own key, without kid", compactBy(g.t, map[string]any{"alg": "ES256"}, claims, own), unknown, "signature_invalid"},
		{"by nobody", compactBy(g.t, map[string]any{"alg": "none"}, claims, func([]byte) []byte { return nil }), refused, refused},
		{"without a signature", compactBy(g.t, map[string]any{"alg": "ES256"}, claims, func([]byte) []byte { return nil }), unknown, "signature_invalid"},
	}
	for _, secret := range []string{"", "secret", "changeme", "your-256-bit-secret", string(make([]byte, 32)), environmentID, audience} {
		mac := func(input []byte) []byte {
			h := hmac.New(sha256.New, []byte(secret))
			h.Write(input)
			return h.Sum(nil)
		}
		all = append(all, forgery{fmt.Sprintf("by the secret %q", secret), compactBy(g.t, map[string]any{"alg": "HS256"}, claims, mac), refused, refused})
	}
	for _, f := range all {
		g.secret(f.token)
	}
	return all
}

// compactBy is a compact JWS (RFC 7515 section 7.1) with whatever signature.
func compactBy(t *testing.T, header, claims map[string]any, sign func(input []byte) []byte) string {
	t.Helper()
	part := func(members map[string]any) string {
		b, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

// ownKey is the key that the gateway signs with, as its storage holds it.
func (g *running) ownKey() (kid string, sign func(input []byte) []byte) {
	g.t.Helper()
	content, err := os.ReadFile(filepath.Join(g.storage(), "storage", "byoa", "keys", environmentID+".json"))
	if err != nil {
		g.t.Fatal(err)
	}
	var stored struct {
		Keys []struct {
			Kid string
			JWK struct{ D string }
		}
	}
	if err := json.Unmarshal(content, &stored); err != nil || len(stored.Keys) == 0 {
		g.t.Fatalf("%v, %d keys in storage", err, len(stored.Keys))
	}
	d, err := base64.RawURLEncoding.DecodeString(stored.Keys[0].JWK.D)
	if err != nil {
		g.t.Fatal(err)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		g.t.Fatal(err)
	}
	return stored.Keys[0].Kid, func(input []byte) []byte {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
		if err != nil {
			g.t.Fatal(err)
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signature
	}
}

// A gateway that does not know by what to verify must let nothing pass: not the good, which it cannot tell,
// and above all nothing that fits a key which it happens to have. What it signed itself, it can tell.
func TestNothingPassesWhileThereAreNoKeys(t *testing.T) {
	g := prepareAdmin(t)
	g.load(plainEnvironment, plainSite)
	session, forged := g.signIn("alice"), forgeries(g)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.issuer.Fail(true)
	g.age(25 * time.Hour) // the kept keys are too old to serve
	g.load(plainEnvironment, plainSite)

	good, seen := g.external("alice"), g.upstream.count()
	assertion := g.assertion("alice", "wallet:export")
	inline := request{method: "POST", path: "/wallets/1/export", bearer: session, assertion: assertion}
	verify := request{method: "POST", path: endpoints + "/externalAuth/verify", bearer: session, body: `{"jwt":"` + assertion + `"}`}
	for _, f := range append(forged, forgery{name: "the issuer's", token: good, then: "keys_unavailable"}) {
		g.wantNoWay(t, f.name, f.token, f.then)
	}
	g.wantLater(t, "with the request", inline)
	g.wantLater(t, "at verify", verify)
	if g.upstream.count() != seen {
		t.Error("a request reached the upstream")
	}
	g.want(request{path: "/wallets/1", bearer: session}, 200, "") // needs no key of the issuer's

	g.issuer.Fail(false)
	pollUntil(t, "the keys are here", func() bool { return g.do(request{path: "/wallets/1", bearer: good}).status == 200 })
	for _, f := range forged {
		g.wantNoWay(t, f.name, f.token, f.after)
	}
	g.want(inline, 200, "") // nothing was spent
	g.want(request{method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + good + `"}`}, 200, "")
}

// wantNoWay wants a token refused with this code wherever one can be brought that signs in.
func (g *running) wantNoWay(t *testing.T, name, token, code string) {
	t.Helper()
	for way, r := range map[string]request{
		"gate":    {path: "/wallets/1", bearer: token},
		"refresh": {method: "POST", path: endpoints + "/refresh", bearer: token},
		"verify":  {method: "POST", path: endpoints + "/externalAuth/verify", bearer: token, body: `{"jwt":"` + token + `"}`},
		"revoke":  {method: "POST", path: endpoints + "/revoke", bearer: token},
		"sign-in": {method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + token + `"}`},
	} {
		if code == "keys_unavailable" {
			g.wantLater(t, name+", "+way, r)
			continue
		}
		got := g.do(r)
		status, said := 401, got.code
		if way == "sign-in" {
			status, said = 422, fmt.Sprint(got.body["reason"])
		}
		if got.status != status || said != code {
			t.Errorf("%s, %s: %d %q, want %d %q", name, way, got.status, said, status, code)
		}
	}
}

// wantLater wants a client told to come again.
func (g *running) wantLater(t *testing.T, name string, r request) {
	t.Helper()
	got := g.do(r)
	wait, err := strconv.Atoi(got.header.Get("Retry-After"))
	if got.status != 503 || got.code != "keys_unavailable" || err != nil || wait < 1 || wait > 60 {
		t.Errorf("%s: %d %q, Retry-After %q; want 503 keys_unavailable and to come again within a minute",
			name, got.status, got.code, got.header.Get("Retry-After"))
	}
}
