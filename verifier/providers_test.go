package verifier_test

import (
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestNewProvidersErrors(t *testing.T) {
	keys := parseKeys(t, verifiertest.NewKey(t, "ES256").JWK())
	a, b, again := newVerifier(t, "a", keys), newVerifier(t, "b", keys), newVerifier(t, "a", keys)
	for _, c := range []struct {
		name string
		vs   []*verifier.Verifier
		ok   bool
	}{
		{"two", []*verifier.Verifier{a, b}, true},
		{"none", nil, false},
		{"nil", []*verifier.Verifier{nil}, false},
		{"two of one issuer", []*verifier.Verifier{a, b, again}, false},
	} {
		if _, err := verifier.NewProviders(c.vs...); (err == nil) != c.ok {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

// Two issuers use the same kid. Neither must be able to sign for the other.
func TestProvidersOfOneKid(t *testing.T) {
	a, b := verifiertest.NewIssuer(t), verifiertest.NewIssuer(t)
	keysOf := func(i *verifiertest.Issuer) verifier.KeySet {
		jwk := i.Key().JWK()
		jwk["kid"] = "1"
		return parseKeys(t, jwk)
	}
	providers, err := verifier.NewProviders(newVerifier(t, a.URL(), keysOf(a)), newVerifier(t, b.URL(), keysOf(b)))
	must(t, err)
	for _, c := range []struct {
		name   string
		signer *verifiertest.Issuer
		iss    any
		want   verifier.Code
	}{
		{"a for a", a, a.URL(), ""},
		{"b for b", b, b.URL(), ""},
		{"a for b", a, b.URL(), verifier.CodeSignatureInvalid},
		{"b for a", b, a.URL(), verifier.CodeSignatureInvalid},
		{"a for somebody", a, a.URL() + "/", verifier.CodeIssuerMismatch},
		{"a for nobody", a, nil, verifier.CodeIssuerMismatch},
		{"a for a number", a, 1, verifier.CodeTokenMalformed},
	} {
		token := c.signer.Sign(map[string]any{"kid": "1"}, map[string]any{"iss": c.iss, "sub": "user-1", "exp": 20_000_000_000})
		claims, err := providers.Verify(t.Context(), token)
		if verifier.CodeOf(err) != c.want || (err == nil) != (claims != nil) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	_, err = providers.Verify(t.Context(), "x")
	wantCode(t, err, verifier.CodeTokenMalformed)
}

// The generous limit of one provider must not be that of another.
func TestProvidersKeepTheirOwnLimits(t *testing.T) {
	small, large := verifiertest.NewIssuer(t), verifiertest.NewIssuer(t)
	var vs []*verifier.Verifier
	for issuer, limit := range map[*verifiertest.Issuer]int{small: 1000, large: 100_000} {
		v, err := verifier.New(verifier.Config{Issuer: issuer.URL(), Keys: issuer.KeySet(), MaxBytes: limit})
		must(t, err)
		vs = append(vs, v)
	}
	providers, err := verifier.NewProviders(vs...)
	must(t, err)
	pad := map[string]any{"pad": string(make([]byte, 1000))}
	_, err = providers.Verify(t.Context(), large.Token(pad))
	wantCode(t, err, "")
	_, err = providers.Verify(t.Context(), small.Token(pad))
	wantCode(t, err, verifier.CodeTokenTooLarge)
	_, err = providers.Verify(t.Context(), small.Token(nil))
	wantCode(t, err, "")
}

func TestProvidersFor(t *testing.T) {
	keys := parseKeys(t, verifiertest.NewKey(t, "ES256").JWK())
	a, b := newVerifier(t, "a", keys), newVerifier(t, "b", keys)
	providers, err := verifier.NewProviders(a, b)
	must(t, err)
	if v, ok := providers.For("b"); v != b || !ok {
		t.Errorf("for b: got %v, %v", v, ok)
	}
	for _, issuer := range []string{"", "B", "a "} {
		if v, ok := providers.For(issuer); ok || v != nil {
			t.Errorf("for %q: got %v, %v", issuer, v, ok)
		}
	}
	providers.All()[0] = nil
	if all := providers.All(); len(all) != 2 || all[0] != a || all[1] != b {
		t.Errorf("got all %v", all)
	}
}
