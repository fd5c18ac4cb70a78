package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestNewRefusesWhatCouldOpenADoor(t *testing.T) {
	keys := parseKeys(t, verifiertest.NewKey(t, "ES256").JWK())
	for _, c := range []struct {
		name    string
		change  func(*verifier.Config)
		mention string // empty: no error
	}{
		{"good", func(*verifier.Config) {}, ""},
		{"no issuer", func(c *verifier.Config) { c.Issuer = "" }, "no issuer"},
		{"no keys", func(c *verifier.Config) { c.Keys = nil }, "no keys"},
		{"empty audience", func(c *verifier.Config) { c.Audiences = []string{"a", ""} }, "audience is empty"},
		{"negative leeway", func(c *verifier.Config) { c.Leeway = -1 }, "leeway"},
		{"negative lifetime", func(c *verifier.Config) { c.Assertion.MaxLifetime = -1 }, "lifetime"},
		{"none", func(c *verifier.Config) { c.Algorithms = []string{"none"} }, `"none"`},
		{"HS256", func(c *verifier.Config) { c.Algorithms = []string{"ES256", "HS256"} }, `"HS256"`},
		{"case", func(c *verifier.Config) { c.Algorithms = []string{"es256"} }, `"es256"`},
		{"empty algorithm", func(c *verifier.Config) { c.Algorithms = []string{""} }, `""`},
		{"one algorithm", func(c *verifier.Config) { c.Algorithms = []string{"ES256"} }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := verifier.Config{Issuer: "i", Keys: keys}
			c.change(&cfg)
			_, err := verifier.New(cfg)
			if (c.mention == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.mention) {
				t.Errorf("got %v, want %q", err, c.mention)
			}
		})
	}
}

// A caller changes its slices after New.
func TestNewKeepsItsOwnConfig(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	cfg := verifier.Config{
		Issuer: issuer.URL(), Keys: issuer.KeySet(), Audiences: []string{"a"}, Algorithms: []string{"ES256"},
	}
	v, err := verifier.New(cfg)
	must(t, err)
	cfg.Audiences[0], cfg.Algorithms[0] = "b", "RS256"
	verify(t, v, issuer.Token(map[string]any{"aud": "a"}), "")
	verify(t, v, issuer.Token(map[string]any{"aud": "b"}), verifier.CodeAudienceMismatch)
}

func TestVerifierSaysWhatItIs(t *testing.T) {
	keys := parseKeys(t, verifiertest.NewKey(t, "ES256").JWK())
	v, err := verifier.New(verifier.Config{Issuer: "i", Keys: keys, Assertion: verifier.AssertionRules{Type: "Application/X"}})
	must(t, err)
	if v.Issuer() != "i" || v.Keys() != verifier.KeySet(keys) {
		t.Errorf("got issuer %q and keys %v", v.Issuer(), v.Keys())
	}
	if want := (verifier.AssertionRules{Type: "x", MaxLifetime: time.Hour}); v.Rules() != want {
		t.Errorf("got rules %+v, want %+v", v.Rules(), want)
	}
}

func TestVerifyReturnsTheClaims(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), issuer.KeySet())
	c, err := v.Verify(t.Context(), issuer.Sign(map[string]any{"typ": "at+JWT"}, map[string]any{
		"iss": issuer.URL(), "sub": "user-1", "jti": "1", "exp": 20_000_000_000, "email": "a@example.com",
	}))
	must(t, err)
	if c.Issuer != issuer.URL() || c.Subject != "user-1" || c.ID != "1" || c.Type != "at+jwt" || c.Expiry.Unix() != 20_000_000_000 {
		t.Errorf("got %+v", c)
	}
	if !v.Keys().Holds(c.Key) || c.Key == "" {
		t.Errorf("got key %q, which the set does not hold", c.Key)
	}
	if email, _ := c.Get("email"); email != "a@example.com" {
		t.Errorf("got email %v", email)
	}
}

func TestVerifyAssertionReturnsWhatItGrants(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), issuer.KeySet())
	a, err := v.VerifyAssertion(t.Context(), issuer.Assertion("user-1", "a b a", map[string]any{"jti": "x"}), "user-1")
	must(t, err)
	if a.Subject != "user-1" || a.ID != "x" || a.Scopes.String() != "a b" || !v.Keys().Holds(a.Key) {
		t.Errorf("got %+v", a)
	}
}

// A caller forgets to fill in who is signed in.
func TestVerifyAssertionAboutNobody(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), issuer.KeySet())
	for token, want := range map[string]verifier.Code{
		issuer.Assertion("user-1", "a", nil): verifier.CodeSubjectMismatch,
		issuer.Assertion("", "a", nil):       verifier.CodeSubjectMissing,
	} {
		_, err := v.VerifyAssertion(t.Context(), token, "")
		wantCode(t, err, want)
	}
}

// The refusal has to say what the operator should write.
func TestOrdinaryTokenAsAssertionSaysWhatToSet(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), issuer.KeySet())
	_, err := v.VerifyAssertion(t.Context(), issuer.Token(map[string]any{"scope": "a", "jti": "1"}), "user-1")
	wantCode(t, err, verifier.CodeTypeMismatch)
	for _, want := range []string{"assertion { type", "assertion { audience"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
}

func names(checks []verifier.Check, failed bool) []string {
	var names []string
	for _, c := range checks {
		if !failed || c.Err != nil {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestCheckTellsAllThatIsWrong(t *testing.T) {
	issuer, other := verifiertest.NewIssuer(t), verifiertest.NewIssuer(t)
	v, err := verifier.New(verifier.Config{Issuer: issuer.URL(), Keys: issuer.KeySet(), Audiences: []string{"a"}})
	must(t, err)
	all := []string{"form", "algorithm", "type", "issuer", "subject", "expiry", "not_before", "issued_at", "audience", "jti", "signature"}
	for _, c := range []struct {
		token       string
		all, failed []string
	}{
		{issuer.Token(map[string]any{"aud": "a"}), all, nil},
		{other.Token(map[string]any{"exp": 1, "sub": nil}), all, []string{"issuer", "subject", "expiry", "audience", "signature"}},
		{"x", []string{"form"}, []string{"form"}},
	} {
		checks := v.Check(t.Context(), c.token)
		if got := names(checks, false); !slices.Equal(got, c.all) {
			t.Errorf("got checks %v, want %v", got, c.all)
		}
		if got := names(checks, true); !slices.Equal(got, c.failed) {
			t.Errorf("got failed checks %v, want %v", got, c.failed)
		}
	}
}

func TestCheckAssertionTellsAllThatIsWrong(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL(), issuer.KeySet())
	checks := v.CheckAssertion(t.Context(), issuer.Assertion("user-2", "a  b", map[string]any{"exp": 20_000_000_000, "jti": nil}), "user-1")
	all := []string{"form", "algorithm", "type", "issuer", "subject", "expiry", "lifetime", "not_before", "issued_at", "audience", "scope", "jti", "own_type", "signature"}
	if got := names(checks, false); !slices.Equal(got, all) {
		t.Errorf("got checks %v, want %v", got, all)
	}
	if got, want := names(checks, true), []string{"subject", "lifetime", "scope", "jti"}; !slices.Equal(got, want) {
		t.Errorf("got failed checks %v, want %v", got, want)
	}
	checks = v.CheckAssertion(t.Context(), issuer.Token(map[string]any{"scope": "a", "jti": "1"}), "user-1")
	if got, want := names(checks, true), []string{"own_type"}; !slices.Equal(got, want) {
		t.Errorf("got failed checks %v, want %v", got, want)
	}
}

// countingKeys says yes to everything, and counts how often it was asked.
type countingKeys struct {
	asked int
	key   verifier.KeyID
	err   error
}

func (k *countingKeys) VerifySignature(context.Context, *verifier.Token) (verifier.KeyID, error) {
	k.asked++
	return k.key, k.err
}
func (k *countingKeys) Holds(verifier.KeyID) bool { return true }

// A token for somebody else must cost no signature check and no fetch of keys.
func TestWrongClaimsNeverReachTheKeys(t *testing.T) {
	for _, vector := range verifiertest.ReadVectors(t, vectorDir) {
		keyVerdicts := []string{"ok", "signature_invalid", "key_not_found", "algorithm_not_allowed"}
		if slices.Contains(keyVerdicts, vector.Expect) {
			continue
		}
		c := vector.Make(t, ring, vectorNow)
		keys := &countingKeys{key: "k"}
		c.Config.Keys = keys
		if got := verdict(t, c); got != vector.Expect {
			t.Errorf("%s: got %s, want %s", vector.Name, got, vector.Expect)
		}
		if keys.asked > 1 { // once by Check, which leaves nothing out
			t.Errorf("%s: the keys were asked %d times", vector.Name, keys.asked)
		}
	}
}

// A key set of somebody else's is down, or forgets to say which key it was.
func TestKeySetThatFails(t *testing.T) {
	issuer := verifiertest.NewIssuer(t)
	down := errors.New("down")
	for _, c := range []struct {
		keys *countingKeys
		ok   bool
	}{
		{&countingKeys{key: "k"}, true},
		{&countingKeys{key: "k", err: down}, false},
		{&countingKeys{}, false},
	} {
		claims, err := newVerifier(t, issuer.URL(), c.keys).Verify(t.Context(), issuer.Token(nil))
		if (err == nil) != c.ok || (claims != nil) != c.ok || verifier.CodeOf(err) != "" {
			t.Errorf("%+v: got %v, %v", c.keys, claims, err)
		}
		if c.keys.err != nil && !errors.Is(err, down) {
			t.Errorf("got %v, want it to wrap the set's own error", err)
		}
	}
}

func TestVerifierFollowsItsClock(t *testing.T) {
	clock := verifiertest.NewClock()
	issuer := verifiertest.NewIssuer(t, verifiertest.WithClock(clock))
	v, err := verifier.New(verifier.Config{Issuer: issuer.URL(), Keys: issuer.KeySet(), Now: clock.Now})
	must(t, err)
	token := issuer.Token(nil)
	verify(t, v, token, "")
	clock.Advance(time.Hour)
	verify(t, v, token, verifier.CodeExpired)
	clock.Advance(-2 * time.Hour)
	verify(t, v, token, verifier.CodeNotYetValid)
}

func TestError(t *testing.T) {
	cause := errors.New("cause")
	e := &verifier.Error{Code: verifier.CodeExpired, Err: cause}
	wrapped := fmt.Errorf("verifying: %w", e)
	if verifier.CodeOf(wrapped) != verifier.CodeExpired || !errors.Is(wrapped, cause) || e.Error() != "cause" {
		t.Errorf("got %q, %v", verifier.CodeOf(wrapped), wrapped)
	}
	if verifier.CodeOf(cause) != "" || verifier.CodeOf(nil) != "" {
		t.Error("found a code where there is none")
	}
	if got := (&verifier.Error{Code: verifier.CodeExpired}).Error(); got != "expired" {
		t.Errorf("got %q", got)
	}
}
