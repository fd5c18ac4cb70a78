package verifier_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

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

// Whoever is told of the wrong issuer alone mends that, and meets the next fault.
func TestProvidersCheckNobodysTokenAsFarAsTheyAgree(t *testing.T) {
	issuer := verifiertest.NewIssuer(t, verifiertest.WithIssuer("a"))
	now := func() time.Time { return time.Unix(1_000_000, 0) }
	with := func(name, audience string, leeway time.Duration, algorithms ...string) *verifier.Verifier {
		v, err := verifier.New(verifier.Config{
			Issuer: name, Audiences: []string{audience}, Leeway: leeway, Algorithms: algorithms, Keys: issuer.KeySet(), Now: now,
		})
		must(t, err)
		return v
	}
	providers, err := verifier.NewProviders(with("a", "x", time.Minute, "ES256", "RS256"), with("b", "y", time.Hour, "RS256"))
	must(t, err)
	for _, c := range []struct {
		name          string
		claims        map[string]any
		passed        []string
		failed        map[string]verifier.Code
		audienceWords string
	}{
		{
			"all but who it is of",
			map[string]any{"aud": []string{"x", "y"}},
			[]string{"form", "type", "subject", "expiry", "not_before", "issued_at", "audience", "jti"},
			map[string]verifier.Code{"issuer": verifier.CodeIssuerMismatch},
			"",
		},
		{
			"wrong for each of them",
			map[string]any{"aud": "z", "sub": nil, "exp": 1, "nbf": 2_000_000, "iat": 2_000_000, "jti": 1},
			[]string{"form", "type"},
			map[string]verifier.Code{
				"issuer": verifier.CodeIssuerMismatch, "subject": verifier.CodeSubjectMissing, "expiry": verifier.CodeExpired,
				"not_before": verifier.CodeNotYetValid, "issued_at": verifier.CodeNotYetValid, "audience": verifier.CodeAudienceMismatch, "jti": verifier.CodeTokenMalformed,
			},
			`aud is "z" and holds none of "x"; aud is "z" and holds none of "y"`,
		},
		{
			"wrong for one of them",
			map[string]any{"aud": "x", "nbf": 1_000_000 + 1800},
			[]string{"form", "type", "subject", "expiry", "issued_at", "jti"},
			map[string]verifier.Code{"issuer": verifier.CodeIssuerMismatch},
			"",
		},
		{
			"an issuer that is no text",
			map[string]any{"iss": 1, "aud": []string{"x", "y"}},
			[]string{"form", "type", "subject", "expiry", "not_before", "issued_at", "audience", "jti"},
			map[string]verifier.Code{"issuer": verifier.CodeTokenMalformed},
			"",
		},
	} {
		claims := map[string]any{"iss": "c", "sub": "user-1", "exp": 2_000_000}
		maps.Copy(claims, c.claims)
		var passed []string
		failed := map[string]verifier.Code{}
		for _, check := range providers.Check(t.Context(), issuer.Sign(nil, claims)) {
			if check.Err == nil {
				passed = append(passed, check.Name)
				continue
			}
			failed[check.Name] = verifier.CodeOf(check.Err)
			if check.Name == "audience" && check.Err.Error() != c.audienceWords {
				t.Errorf("%s: %v, want %s", c.name, check.Err, c.audienceWords)
			}
		}
		if !slices.Equal(passed, c.passed) || !maps.Equal(failed, c.failed) {
			t.Errorf("%s: passed %v, failed %v; want %v, %v", c.name, passed, failed, c.passed, c.failed)
		}
	}
}

// The rules are those that the chosen verifier would apply, whether the token or its being
// the only one chooses it.
func TestProvidersCheckAsTheVerifierThatIsChosen(t *testing.T) {
	a, b := verifiertest.NewIssuer(t), verifiertest.NewIssuer(t)
	va, vb := newVerifier(t, a.URL(), a.KeySet()), newVerifier(t, b.URL(), b.KeySet())
	one, err := verifier.NewProviders(va)
	must(t, err)
	both, err := verifier.NewProviders(va, vb)
	must(t, err)
	sameChecks := func(name string, got, want []verifier.Check) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) || len(want) < 10 {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	ofB, anonymous := b.Token(map[string]any{"exp": 1}), b.Assertion("user-1", "x", map[string]any{"exp": 1})
	sameChecks("the one that is named", both.Check(t.Context(), ofB), vb.Check(t.Context(), ofB))
	sameChecks("the only one", one.Check(t.Context(), ofB), va.Check(t.Context(), ofB))
	sameChecks("the only one, of an assertion", one.CheckAssertion(t.Context(), anonymous, "user-2"), va.CheckAssertion(t.Context(), anonymous, "user-2"))

	for subject, want := range map[string]map[string]verifier.Code{
		"user-1": {"issuer": verifier.CodeIssuerMismatch, "expiry": verifier.CodeExpired},
		"user-2": {"issuer": verifier.CodeIssuerMismatch, "subject": verifier.CodeSubjectMismatch, "expiry": verifier.CodeExpired},
	} {
		found := map[string]verifier.Code{}
		for _, check := range both.CheckAssertion(t.Context(), anonymous, subject) {
			if check.Err != nil {
				found[check.Name] = verifier.CodeOf(check.Err)
			}
			if check.Name == "expiry" && check.Err.Error() != "expired at 1970-01-01T00:00:01Z" {
				t.Errorf("nobody's assertion: %v, want what all say alike said once", check.Err)
			}
		}
		if !maps.Equal(found, want) {
			t.Errorf("nobody's assertion about %s: got %v, want %v", subject, found, want)
		}
	}
}
