package verifiertest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestIssuerSignsWithEveryAlgorithm(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256", "RS512", "PS384"} {
		issuer := verifiertest.NewIssuer(t, verifiertest.WithAlgorithm(alg))
		v, err := verifier.New(verifier.Config{Issuer: issuer.URL(), Keys: issuer.KeySet(), Algorithms: []string{alg}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), issuer.Token(nil)); err != nil {
			t.Errorf("%s: token: %v", alg, err)
		}
		if _, err := v.VerifyAssertion(t.Context(), issuer.Assertion("user-1", "a", nil), "user-1"); err != nil {
			t.Errorf("%s: assertion: %v", alg, err)
		}
	}
}

func TestIssuerFillsInAndLeavesOut(t *testing.T) {
	clock := verifiertest.NewClock()
	issuer := verifiertest.NewIssuer(t, verifiertest.WithIssuer("https://issuer.example"), verifiertest.WithClock(clock))
	clock.Advance(time.Hour)
	token, err := verifier.Parse(issuer.Token(map[string]any{"sub": nil, "aud": "a"}), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, _ := strings.Cut(string(token.SigningInput()), ".")
	if token.Issuer() != "https://issuer.example" || issuer.URL() != token.Issuer() || payload == "" {
		t.Errorf("got iss %q, want that of the option", token.Issuer())
	}
	v, err := verifier.New(verifier.Config{Issuer: issuer.URL(), Keys: issuer.KeySet(), Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), issuer.Token(map[string]any{"sub": nil})); verifier.CodeOf(err) != verifier.CodeSubjectMissing {
		t.Errorf("got %v, want a token without sub", err)
	}
	claims, err := v.Verify(t.Context(), issuer.Token(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := claims.Expiry.Sub(claims.IssuedAt); got != time.Hour || claims.Subject != "user-1" {
		t.Errorf("got lifetime %s and sub %q", got, claims.Subject)
	}
}

func TestIssuerServesItsKeys(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	issuer.SetCacheControl("max-age=5")
	status, header, body := get(t, issuer.JWKSURL())
	if status != http.StatusOK || header.Get("Cache-Control") != "max-age=5" || body != string(issuer.JWKS()) {
		t.Errorf("got %d %v %s", status, header, body)
	}
	issuer.Fail(true)
	if status, _, _ := get(t, issuer.JWKSURL()); status != http.StatusServiceUnavailable {
		t.Errorf("got status %d of an issuer that fails", status)
	}
	issuer.Fail(false)
	issuer.SetJWKS([]byte("{}"))
	if _, _, body := get(t, issuer.JWKSURL()); body != "{}" {
		t.Errorf("got %s, want what was set", body)
	}
	before := issuer.Key()
	issuer.Rotate()
	if _, _, body := get(t, issuer.JWKSURL()); strings.Contains(body, before.ID()) || !strings.Contains(body, issuer.Key().ID()) {
		t.Errorf("got %s, want the new key alone", body)
	}
	if got := issuer.Fetches(); got != 4 {
		t.Errorf("got %d fetches, want 4", got)
	}
}

func TestIssuerServesMetadata(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		_, _, body := get(t, issuer.URL()+path)
		var metadata struct{ Issuer, JWKS_URI string }
		if err := json.Unmarshal([]byte(body), &metadata); err != nil || metadata.Issuer != issuer.URL() || metadata.JWKS_URI != issuer.JWKSURL() {
			t.Errorf("%s: got %s, %v", path, body, err)
		}
	}
}
