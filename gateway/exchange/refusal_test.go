package exchange_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A mintedCase is a token that our own key signed, but that says something it must not.
type mintedCase struct {
	name   string
	typ    string
	change map[string]any // nil: the claim is left out
	want   verifier.Code  // empty: it is accepted
}

// run changes both kinds of token, in so far as they have the claim.
func (c mintedCase) run(t *testing.T, b *house, use, token string) {
	claims := decoded(t, token, 1)
	for name, value := range c.change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	typ := c.typ
	if typ == "" {
		typ = "at+jwt"
	}
	wantCode(t, b.openers()[use](t.Context(), b.mint(typ, claims)), c.want)
}

func TestOurKeyAloneOpensNothing(t *testing.T) {
	b := newHouse(t, "ES256")
	s := b.signIn(b.external(nil))
	tokens := map[string]string{"session": s.Token, "elevated": b.elevate(s).Token}

	both := []mintedCase{
		{"unchanged", "", nil, ""},
		{"type with its prefix", "application/at+jwt", nil, ""},
		{"typ JWT", "JWT", nil, verifier.CodeTypeMismatch},
		{"typ of a logout token", "logout+jwt", nil, verifier.CodeTypeMismatch},
		{"no token_use", "", map[string]any{"token_use": nil}, verifier.CodeTypeMismatch},
		{"another token_use", "", map[string]any{"token_use": "refresh"}, verifier.CodeTypeMismatch},
		{"token_use in capitals", "", map[string]any{"token_use": "SESSION"}, verifier.CodeTypeMismatch},
		{"another environment", "", map[string]any{"environment_id": environmentB}, verifier.CodeAudienceMismatch},
		{"no environment", "", map[string]any{"environment_id": nil}, verifier.CodeAudienceMismatch},
		{"another audience", "", map[string]any{"aud": environmentB}, verifier.CodeAudienceMismatch},
		{"no audience", "", map[string]any{"aud": nil}, verifier.CodeAudienceMismatch},
		{"no sub", "", map[string]any{"sub": nil}, verifier.CodeSubjectMissing},
		{"no exp", "", map[string]any{"exp": nil}, verifier.CodeExpiryMissing},
		{"exp in words", "", map[string]any{"exp": "tomorrow"}, verifier.CodeTokenMalformed},
		{"expired", "", map[string]any{"exp": b.clock.Now().Unix()}, verifier.CodeExpired},
		{"nbf ahead", "", map[string]any{"nbf": b.clock.Now().Add(time.Minute).Unix()}, verifier.CodeNotYetValid},
		{"iat ahead within the leeway", "", map[string]any{"iat": b.clock.Now().Add(20 * time.Second).Unix()}, ""},
		{"iat ahead", "", map[string]any{"iat": b.clock.Now().Add(time.Minute).Unix()}, verifier.CodeNotYetValid},
		{"no iat", "", map[string]any{"iat": nil}, verifier.CodeTokenMalformed},
		{"no jti", "", map[string]any{"jti": nil}, verifier.CodeTokenMalformed},
		{"no sid", "", map[string]any{"sid": nil}, verifier.CodeTokenMalformed},
		{"empty sid", "", map[string]any{"sid": ""}, verifier.CodeTokenMalformed},
		{"sid is a number", "", map[string]any{"sid": 1}, verifier.CodeTokenMalformed},
		{"no client_id", "", map[string]any{"client_id": nil}, verifier.CodeTokenMalformed},
		{"no credential", "", map[string]any{"last_verified_credential_id": nil}, verifier.CodeTokenMalformed},
		{"no external id", "", map[string]any{"external_user_id": nil}, verifier.CodeTokenMalformed},
		{"no kid", "", map[string]any{"kid": nil}, verifier.CodeTokenMalformed},
		{"another key's kid", "", map[string]any{"kid": "theirs"}, verifier.CodeTokenMalformed},
		{"no email", "", map[string]any{"email": nil}, ""},
		{"email is a list", "", map[string]any{"email": []string{"ann@example.com"}}, verifier.CodeTokenMalformed},
	}
	external := decoded(t, s.Token, 1)["external_claims"].(map[string]any)
	without := func(name string, value any) map[string]any {
		c := maps.Clone(external)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return map[string]any{"external_claims": c}
	}
	only := map[string][]mintedCase{
		"session": {
			{"no external claims", "", map[string]any{"external_claims": nil}, verifier.CodeTokenMalformed},
			{"external claims in a string", "", map[string]any{"external_claims": "{}"}, verifier.CodeTokenMalformed},
			{"external claims of another user", "", without("sub", "user-2"), verifier.CodeTokenMalformed},
			{"another external user", "", map[string]any{"external_user_id": "user-2"}, verifier.CodeTokenMalformed},
			{"external claims without sub", "", without("sub", nil), verifier.CodeTokenMalformed},
			{"external claims without iss", "", without("iss", nil), verifier.CodeTokenMalformed},
			{"external claims without exp", "", without("exp", nil), verifier.CodeTokenMalformed},
			{"external claims with other claims", "", without("acr", "pwd"), ""},
			{"no refresh_exp", "", map[string]any{"refresh_exp": nil}, verifier.CodeTokenMalformed},
			{"refresh_exp with a fraction", "", map[string]any{"refresh_exp": 1.5}, verifier.CodeTokenMalformed},
			{"no external_sid", "", map[string]any{"external_sid": nil}, verifier.CodeTokenMalformed},
			{"a scope is nothing to a session", "", map[string]any{"scope": "wallet:export"}, ""},
		},
		"elevated": {
			{"no scope", "", map[string]any{"scope": nil}, verifier.CodeTokenMalformed},
			{"scopes in a list", "", map[string]any{"scope": []string{"wallet:export"}}, verifier.CodeTokenMalformed},
			{"scopes split by a tab", "", map[string]any{"scope": "wallet:export\twallet:sign"}, verifier.CodeTokenMalformed},
			{"no singleUse", "", map[string]any{"singleUse": nil}, verifier.CodeTokenMalformed},
			{"singleUse in a string", "", map[string]any{"singleUse": "false"}, verifier.CodeTokenMalformed},
			{"singleUse is null", "", map[string]any{"singleUse": json.RawMessage("null")}, verifier.CodeTokenMalformed},
			{"multi use", "", map[string]any{"singleUse": false}, ""},
		},
	}
	for use, token := range tokens {
		for _, c := range append(both[:len(both):len(both)], only[use]...) {
			t.Run(use+"/"+c.name, func(t *testing.T) { c.run(t, b, use, token) })
		}
	}
}

func TestAnElevatedTokenIsNoSessionAndTheOtherWayRound(t *testing.T) {
	b := newHouse(t, "ES256")
	s := b.signIn(b.external(nil))
	el := b.elevate(s)
	_, err := b.local.OpenSession(t.Context(), el.Token)
	wantCode(t, err, verifier.CodeTypeMismatch)
	_, err = b.local.OpenElevated(t.Context(), s.Token)
	wantCode(t, err, verifier.CodeTypeMismatch)
}

func TestTokensOfOneEnvironmentAreNothingInAnother(t *testing.T) {
	const issuer, audience = "https://api.example.com", "https://internal.example"
	b := newHouse(t, "ES256")
	elsewhere := openRing(t, exchange.KeyRingConfig{Store: newStore(), Now: b.clock.Now})
	for _, c := range []struct {
		name             string
		issuer, audience string
		ring             *exchange.KeyRing // of B
		want             verifier.Code     // empty: ErrForeign
	}{
		{"defaults", "", "", elsewhere, ""},
		{"one ring", "", "", b.ring, ""},
		{"one issuer", issuer, "", elsewhere, verifier.CodeAudienceMismatch},
		{"one issuer and ring", issuer, "", b.ring, verifier.CodeAudienceMismatch},
		{"one issuer and audience", issuer, audience, elsewhere, verifier.CodeKeyNotFound},
		{"one issuer, audience and ring", issuer, audience, b.ring, verifier.CodeAudienceMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.local = b.newLocal(exchange.LocalConfig{Environment: environmentA, Issuer: c.issuer, Audience: c.audience})
			s := b.signIn(b.external(nil))
			tokens := map[string]string{"session": s.Token, "elevated": b.elevate(s).Token}
			for use, open := range b.openers() {
				if err := open(t.Context(), tokens[use]); err != nil {
					t.Errorf("at home the %s token is refused: %v", use, err)
				}
			}
			b.local = b.newLocal(exchange.LocalConfig{Environment: environmentB, Issuer: c.issuer, Audience: c.audience, Ring: c.ring})
			for use, open := range b.openers() {
				err := open(t.Context(), tokens[use])
				if c.want == "" && !errors.Is(err, gateway.ErrForeign) {
					t.Errorf("%s token: got %v, want ErrForeign", use, err)
				}
				wantCode(t, err, c.want)
			}
		})
	}
}

func TestTokensOfOthers(t *testing.T) {
	b := newHouse(t, "ES256")
	login := verifiertest.NewIssuer(t, verifiertest.WithClock(b.clock))
	ours := decoded(t, b.signIn(b.external(nil)).Token, 1)
	for _, c := range []struct {
		name  string
		token string
		want  verifier.Code // empty: ErrForeign
	}{
		{"an external JWT", login.Token(nil), ""},
		{"without iss", login.Token(map[string]any{"iss": nil}), ""},
		{"an assertion", login.Assertion("user-1", "wallet:export", nil), ""},
		{"iss with another case", login.Token(map[string]any{"iss": "URN:uuid:" + environmentA}), ""},
		{"our claims by their key", login.Sign(map[string]any{"typ": "at+jwt"}, ours), verifier.CodeKeyNotFound},
		{"our claims and kid by their key", login.Sign(map[string]any{"typ": "at+jwt", "alg": "ES256", "kid": b.ring.Status().Current}, ours), verifier.CodeSignatureInvalid},
		{"our claims and kid, another algorithm", login.Sign(map[string]any{"alg": "RS256", "kid": b.ring.Status().Current}, ours), verifier.CodeAlgorithmNotAllowed},
		{"our claims unsigned", login.Sign(map[string]any{"alg": "none", "kid": b.ring.Status().Current}, ours), verifier.CodeAlgorithmNotAllowed},
		{"no JWT", "opaque", verifier.CodeTokenMalformed},
		{"nothing", "", verifier.CodeTokenMalformed},
		{"huge", strings.Repeat("a", 1<<20), verifier.CodeTokenTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			for use, open := range b.openers() {
				err := open(t.Context(), c.token)
				if c.want == "" && !errors.Is(err, gateway.ErrForeign) {
					t.Errorf("as %s token: got %v, want ErrForeign", use, err)
				}
				wantCode(t, err, c.want)
				if err != nil && c.token != "" && strings.Contains(err.Error(), c.token) {
					t.Errorf("the error holds the token: %v", err)
				}
			}
		})
	}
}

func TestATokenThatWasTamperedWith(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			b := newHouse(t, alg)
			s := b.signIn(b.external(nil))
			other := b.signIn(b.external(map[string]any{"sub": "user-2"}))
			parts, others := strings.Split(s.Token, "."), strings.Split(other.Token, ".")
			flipped := []byte(parts[2])
			if flipped[5] != 'A' {
				flipped[5] = 'A'
			} else {
				flipped[5] = 'B'
			}
			for name, token := range map[string]string{
				"another token's claims":    parts[0] + "." + others[1] + "." + parts[2],
				"another token's signature": parts[0] + "." + parts[1] + "." + others[2],
				"another signature":         parts[0] + "." + parts[1] + "." + string(flipped),
				"no signature":              parts[0] + "." + parts[1] + ".",
			} {
				_, err := b.local.OpenSession(t.Context(), token)
				if code := verifier.CodeOf(err); code != verifier.CodeSignatureInvalid {
					t.Errorf("%s: got %v, want it refused for its signature", name, err)
				}
			}
			if _, err := b.local.OpenSession(t.Context(), s.Token); err != nil {
				t.Errorf("untouched: %v", err)
			}
		})
	}
}

func TestAWithdrawnKeyEndsItsTokens(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	b := &house{t: t, clock: clock}
	b.ring = openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now})
	b.local = b.newLocal(exchange.LocalConfig{Environment: environmentA})
	s := b.signIn(b.external(nil))
	el := b.elevate(s)
	if !b.local.Holds(s.Key) {
		t.Fatal("the key that signs is not held")
	}

	elsewhere := newStore()
	openRing(t, exchange.KeyRingConfig{Store: elsewhere, Now: clock.Now})
	store.set(func(s *memoryStore) { s.content = elsewhere.stored() })
	refresh(t, b.ring)
	if b.local.Holds(s.Key) {
		t.Error("remembered sessions of a withdrawn key go on")
	}
	_, err := b.local.OpenSession(t.Context(), s.Token)
	wantCode(t, err, verifier.CodeKeyNotFound)
	_, err = b.local.OpenElevated(t.Context(), el.Token)
	wantCode(t, err, verifier.CodeKeyNotFound)
	if _, err := b.local.OpenSession(t.Context(), b.signIn(s.External).Token); err != nil {
		t.Errorf("a session of the new key: %v", err)
	}
}

// Whatever external JWT is accepted, the session token that it leads to is accepted back.
func TestTheLargestExternalTokenMakesASession(t *testing.T) {
	const limit = 4 << 10
	for name, fill := range map[string]func(n int) map[string]any{
		"ordinary claims":         func(n int) map[string]any { return map[string]any{"x": strings.Repeat("x", n)} },
		"a long subject":          func(n int) map[string]any { return map[string]any{"sub": strings.Repeat("s", n)} },
		"a subject that escapes":  func(n int) map[string]any { return map[string]any{"sub": strings.Repeat("\u2028", n/3)} },
		"a client of angles":      func(n int) map[string]any { return map[string]any{"azp": strings.Repeat("<", n)} },
		"a client of quotes":      func(n int) map[string]any { return map[string]any{"azp": strings.Repeat(`"`, n/2)} },
		"a client that escapes":   func(n int) map[string]any { return map[string]any{"azp": strings.Repeat("\x01", n/6)} },
		"a thousand little lists": func(n int) map[string]any { return map[string]any{"x": make([][]int, n/3)} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newHouse(t, "RS256")
			b.local = b.newLocal(exchange.LocalConfig{Environment: environmentA, MaxTokenBytes: limit})
			claims := fill(limit*3/4 - 150)
			claims["iss"], claims["exp"] = "https://auth.example.com", b.clock.Now().Add(day).Unix()
			if claims["sub"] == nil {
				claims["sub"] = "user-1"
			}
			payload := unescaped(t, claims)
			if size := len(payload); size > limit*3/4 || size < limit/2 {
				t.Fatalf("the payload has %d bytes", size)
			}
			external, err := verifier.ParseClaims(payload)
			if err != nil {
				t.Fatal(err)
			}
			s := b.signIn(external)
			opened, err := b.local.OpenSession(t.Context(), s.Token)
			if err != nil {
				t.Fatalf("a session token of %d bytes is refused: %v", len(s.Token), err)
			}
			if opened.ExternalID() != external.Subject || string(opened.External.Payload()) != string(payload) {
				t.Error("the external claims came back changed")
			}
			if _, err := b.local.OpenElevated(t.Context(), b.elevate(s).Token); err != nil {
				t.Error(err)
			}
		})
	}
}

// unescaped is the shortest JSON that a login system can write.
func unescaped(t *testing.T, claims map[string]any) []byte {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.NewReplacer(`\u003c`, "<", `\u2028`, "\u2028", "null", "[]").Replace(string(payload)))
}

// Claims that nest as deep as can be read nest one deeper in a session token. They
// are refused when they would be exchanged, not when the client comes back.
func TestClaimsThatNestTooDeepAreNotExchanged(t *testing.T) {
	b := newHouse(t, "ES256")
	nested := func(depth int) *verifier.Claims {
		payload := `{"iss":"i","sub":"s","exp":9e9,"x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}"
		c, err := verifier.ParseClaims([]byte(payload))
		if err != nil {
			return nil
		}
		return c
	}
	deepest := 1
	for nested(deepest+1) != nil {
		deepest++
	}
	_, err := b.local.SignIn(t.Context(), "", b.want(nested(deepest)))
	wantCode(t, err, verifier.CodeTokenMalformed)
	if _, err := b.local.OpenSession(t.Context(), b.signIn(nested(deepest-1)).Token); err != nil {
		t.Errorf("one level less: %v", err)
	}
}
