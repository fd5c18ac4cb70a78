package exchange_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestExactTokens(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			b := newHouse(t, alg)
			now := float64(b.clock.Now().Unix())
			external := b.external(map[string]any{"roles": []string{"<admin>"}, "n": json.Number("1e400")})
			s := b.signIn(external)

			credential := gateway.CredentialID(environmentA, "externalUser", "https://auth.example.com", "user-1")
			common := map[string]any{
				"iss": "urn:uuid:" + environmentA, "aud": environmentA, "iat": now,
				"sub": "8f7f9cf7-3ef0-5a0a-9d38-8b8d1a0b0f11", "sid": "sid-1", "email": "ann@example.com",
				"client_id": environmentA, "environment_id": environmentA,
				"last_verified_credential_id": credential, "external_user_id": "user-1",
			}
			session := maps.Clone(common)
			session["token_use"], session["exp"] = "session", now+3600
			session["refresh_exp"], session["external_sid"] = now+12*3600, "sid-0"
			if !strings.Contains(string(external.Payload()), "1e400") {
				t.Fatal("the payload lost its number")
			}
			checkSignature(t, b.local.JWKS(), s.Token)
			payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(s.Token, ".")[1])
			if nested := `"external_claims":` + string(external.Payload()); !strings.Contains(string(payload), nested) {
				t.Errorf("payload %s does not hold %s as it was signed", payload, nested)
			}
			if header := decoded(t, s.Token, 0); header["typ"] != "at+jwt" || header["alg"] != alg || len(header) != 3 {
				t.Errorf("header %v", header)
			}

			plain := b.signIn(b.external(nil))
			session["external_claims"] = decodedClaims(t, plain.External)
			wantClaims(t, plain.Token, session)

			el := b.elevate(s)
			elevated := maps.Clone(common)
			elevated["token_use"], elevated["exp"] = "elevated", now+300
			elevated["scope"], elevated["singleUse"] = "wallet:export wallet:sign", true
			checkSignature(t, b.local.JWKS(), el.Token)
			wantClaims(t, el.Token, elevated)
		})
	}
}

func decodedClaims(t *testing.T, c *verifier.Claims) map[string]any {
	t.Helper()
	var v map[string]any
	if err := c.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIssuerAudienceAndClient(t *testing.T) {
	b := newHouse(t, "ES256")
	b.local = b.newLocal(exchange.LocalConfig{
		Environment: environmentA, Issuer: "https://api.example.com", Audience: "https://internal.example",
	})
	for _, c := range []struct {
		name   string
		claims map[string]any
		client string
	}{
		{"none", nil, environmentA},
		{"client_id", map[string]any{"client_id": "app", "azp": "other"}, "app"},
		{"azp", map[string]any{"azp": "app"}, "app"},
		{"client_id that is no string", map[string]any{"client_id": []string{"app"}, "azp": "app"}, "app"},
		{"azp that is no string", map[string]any{"azp": 7}, environmentA},
		{"empty", map[string]any{"client_id": ""}, environmentA},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := b.signIn(b.external(c.claims))
			got := decoded(t, s.Token, 1)
			if got["client_id"] != c.client || got["iss"] != "https://api.example.com" || got["aud"] != "https://internal.example" {
				t.Errorf("got %v of %v for %v, want client %q", got["client_id"], got["iss"], got["aud"], c.client)
			}
			if _, err := b.local.OpenSession(t.Context(), s.Token); err != nil {
				t.Error(err)
			}
		})
	}
}

// An attacker who can choose claims at the login system must not choose ours.
func TestClaimsOfTheExternalJWTDoNotReachOurs(t *testing.T) {
	b := newHouse(t, "ES256")
	plain := decoded(t, b.signIn(b.external(nil)).Token, 1)
	forged := map[string]any{
		"aud": "everything", "iat": 1, "jti": "j", "sid": "victim's", "environment_id": environmentB,
		"last_verified_credential_id": "c", "external_user_id": "victim", "kid": "k", "token_use": "elevated",
		"email": "root@example.com", "scope": "wallet:export", "singleUse": false, "refresh_exp": 1 << 50,
		"external_sid": "victim's", "external_claims": map[string]any{"sub": "victim"}, "act": 1, "cnf": 1, "nbf": 1,
	}
	s := b.signIn(b.external(forged))
	got := decoded(t, s.Token, 1)
	for _, set := range []map[string]any{got, plain} {
		delete(set, "jti")
		delete(set, "external_claims")
	}
	if !reflect.DeepEqual(got, plain) {
		t.Errorf("with forged claims\n got %v\nwant %v", got, plain)
	}
	opened, err := b.local.OpenSession(t.Context(), s.Token)
	if err != nil {
		t.Fatal(err)
	}
	if opened.ID != "sid-1" || opened.UserID != s.UserID || opened.Email != "ann@example.com" || opened.ExternalID() != "user-1" {
		t.Errorf("opened %+v", opened)
	}
	_, err = b.local.OpenElevated(t.Context(), s.Token)
	wantCode(t, err, verifier.CodeTypeMismatch)
	if el := decoded(t, b.elevate(s).Token, 1); el["singleUse"] != true || el["scope"] != "wallet:export wallet:sign" {
		t.Errorf("elevated claims %v", el)
	}
}

// A linked identity signs in a user whom it would not make by itself. The tokens are that
// user's, and say all the same which identity it was.
func TestTokensOfALinkedIdentity(t *testing.T) {
	b := newHouse(t, "ES256")
	external := b.external(nil)
	for _, subject := range []string{"linked to", "user-1"} {
		want := b.want(external)
		want.UserID = gateway.UserID(environmentA, external.Issuer, subject)
		s, err := b.local.SignIn(t.Context(), "", want)
		if err != nil {
			t.Fatal(err)
		}
		el := b.elevate(s)
		for use, token := range map[string]string{"session": s.Token, "elevated": el.Token} {
			got := decoded(t, token, 1)
			credential := gateway.CredentialID(environmentA, "externalUser", external.Issuer, "user-1")
			if got["sub"] != want.UserID || got["external_user_id"] != "user-1" || got["last_verified_credential_id"] != credential {
				t.Errorf("%s token of %v with credential %v of %v, want %s with %s of user-1",
					use, got["sub"], got["last_verified_credential_id"], got["external_user_id"], want.UserID, credential)
			}
		}
		opened, err := b.local.OpenSession(t.Context(), s.Token)
		if err != nil {
			t.Fatal(err)
		}
		granted, err := b.local.OpenElevated(t.Context(), el.Token)
		if err != nil {
			t.Fatal(err)
		}
		if opened.UserID != want.UserID || opened.ExternalID() != "user-1" || granted.UserID != want.UserID || granted.ExternalID != "user-1" {
			t.Errorf("opened a session of %s as %s and an elevated token of %s as %s, want %s as user-1 twice",
				opened.UserID, opened.ExternalID(), granted.UserID, granted.ExternalID, want.UserID)
		}
	}
}

func TestASessionComesBackWhole(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			b := newHouse(t, alg)
			minted := b.signIn(b.external(map[string]any{"app": map[string]any{"role": "<b>"}}))
			if minted.Presented || minted.Key == "" || !b.local.Holds(minted.Key) {
				t.Errorf("minted %+v", minted)
			}
			opened, err := b.local.OpenSession(t.Context(), minted.Token)
			if err != nil {
				t.Fatal(err)
			}
			if !opened.Presented {
				t.Error("a session token that was presented says that it was not")
			}
			if role, _ := opened.External.Get("app.role"); role != "<b>" || opened.External.Issuer != "https://auth.example.com" {
				t.Errorf("external claims %s", opened.External.Payload())
			}
			want := *minted
			want.Presented, want.External = true, opened.External
			if !reflect.DeepEqual(*opened, want) {
				t.Errorf("opened\n got %+v\nwant %+v", *opened, want)
			}
			if now := b.clock.Now().Truncate(time.Second); !opened.IssuedAt.Equal(now) || !opened.Expiry.Equal(now.Add(time.Hour)) {
				t.Errorf("lives from %v to %v, want whole seconds from %v", opened.IssuedAt, opened.Expiry, now)
			}
		})
	}
}

func TestAnElevatedTokenComesBackWhole(t *testing.T) {
	b := newHouse(t, "ES256")
	s := b.signIn(b.external(nil))
	for _, single := range []bool{true, false} {
		want := b.wantElevated(s)
		want.ID, want.SingleUse = "jti-1", single
		minted, err := b.local.Elevate(t.Context(), s, "", want)
		if err != nil {
			t.Fatal(err)
		}
		if minted.ID != "jti-1" || minted.SingleUse != single {
			t.Errorf("minted %+v", minted)
		}
		opened, err := b.local.OpenElevated(t.Context(), minted.Token)
		if err != nil {
			t.Fatal(err)
		}
		if !opened.Scopes.Equal(minted.Scopes) {
			t.Errorf("scopes %q, want %q", opened.Scopes, minted.Scopes)
		}
		opened.Scopes = minted.Scopes
		if !reflect.DeepEqual(opened, minted) {
			t.Errorf("opened\n got %+v\nwant %+v", opened, minted)
		}
	}
	if one, two := b.elevate(s).ID, b.elevate(s).ID; one == two || one == "" {
		t.Errorf("two elevated tokens are called %q and %q", one, two)
	}
}

// A refresh comes without an external JWT, and with the session that was opened.
func TestACarriedOnSession(t *testing.T) {
	b := newHouse(t, "ES256")
	first := b.signIn(b.external(nil))
	opened, err := b.local.OpenSession(t.Context(), first.Token)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(30 * time.Minute)
	want := *opened
	want.Expiry = b.clock.Now().Add(time.Hour)
	fresh, err := b.local.SignIn(t.Context(), "", want)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.local.OpenSession(t.Context(), fresh.Token)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != first.ID || again.Origin != first.Origin || !again.RefreshUntil.Equal(first.RefreshUntil) {
		t.Errorf("got %+v, want the session %+v", again, first)
	}
	if !again.IssuedAt.Equal(first.IssuedAt.Add(30*time.Minute)) || !again.Expiry.Equal(first.Expiry.Add(30*time.Minute)) {
		t.Errorf("lives from %v to %v", again.IssuedAt, again.Expiry)
	}
	if decoded(t, fresh.Token, 1)["jti"] == decoded(t, first.Token, 1)["jti"] {
		t.Error("two tokens have one jti")
	}
	if opened.Token != first.Token || fresh.Presented {
		t.Errorf("the old session was changed, or the new one counts as presented: %v", fresh.Presented)
	}
}

func TestExpiryToTheSecond(t *testing.T) {
	b := newHouse(t, "ES256") // its clock stands at .4 seconds
	want := b.want(b.external(nil))
	want.Expiry = b.clock.Now().Add(1500 * time.Millisecond)
	s, err := b.local.SignIn(t.Context(), "", want)
	if err != nil {
		t.Fatal(err)
	}
	if s.Expiry.After(want.Expiry) || want.Expiry.Sub(s.Expiry) >= time.Second {
		t.Errorf("expires at %v, want the last whole second up to %v", s.Expiry, want.Expiry)
	}
	b.clock.Advance(s.Expiry.Sub(b.clock.Now()) - 1)
	if _, err := b.local.OpenSession(t.Context(), s.Token); err != nil {
		t.Errorf("a nanosecond before its expiry: %v", err)
	}
	b.clock.Advance(1)
	_, err = b.local.OpenSession(t.Context(), s.Token)
	wantCode(t, err, verifier.CodeExpired)

	elevated := b.wantElevated(s)
	elevated.Expiry = b.clock.Now().Add(time.Second)
	el, err := b.local.Elevate(t.Context(), s, "", elevated)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Second - 1)
	if _, err := b.local.OpenElevated(t.Context(), el.Token); err != nil {
		t.Errorf("a nanosecond before its expiry: %v", err)
	}
	b.clock.Advance(1)
	_, err = b.local.OpenElevated(t.Context(), el.Token)
	wantCode(t, err, verifier.CodeExpired)
}

// With less than a second left there is no token that has not expired.
func TestNoTokenIsMintedExpired(t *testing.T) {
	b := newHouse(t, "ES256")
	s := b.signIn(b.external(nil))
	for _, left := range []time.Duration{-time.Second, 0, 500 * time.Millisecond} {
		session, elevated := b.want(s.External), b.wantElevated(s)
		session.Expiry, elevated.Expiry = b.clock.Now().Add(left), b.clock.Now().Add(left)
		_, err := b.local.SignIn(t.Context(), "", session)
		wantCode(t, err, verifier.CodeExpired)
		_, err = b.local.Elevate(t.Context(), s, "", elevated)
		wantCode(t, err, verifier.CodeExpired)
	}
}

// A token that outlived its key's publication would die early, without saying so.
func TestNoTokenOutlivesItsKey(t *testing.T) {
	b := newHouse(t, "ES256")
	want := b.want(b.external(nil))
	want.Expiry = b.clock.Now().Add(100 * day)
	s, err := b.local.SignIn(t.Context(), "", want)
	if err != nil {
		t.Fatal(err)
	}
	if limit := b.clock.Now().Add(exchange.DefaultTokenLifetime); s.Expiry.After(limit) {
		t.Errorf("expires at %v, want %v at most", s.Expiry, limit)
	}
}

func TestWhatIsAskedForMustBeWhole(t *testing.T) {
	b := newHouse(t, "ES256")
	s := b.signIn(b.external(nil))
	for name, change := range map[string]func(*gateway.Session){
		"external": func(s *gateway.Session) { s.External = nil },
		"id":       func(s *gateway.Session) { s.ID = "" },
		"user":     func(s *gateway.Session) { s.UserID = "" },
		"origin":   func(s *gateway.Session) { s.Origin = "" },
	} {
		want := b.want(s.External)
		change(&want)
		if _, err := b.local.SignIn(t.Context(), "", want); err == nil || verifier.CodeOf(err) != "" {
			t.Errorf("without %s: got %v, want an error that is nobody's verdict", name, err)
		}
	}
	for name, change := range map[string]func(*gateway.Elevated){
		"session":  func(el *gateway.Elevated) { el.Session = "" },
		"user":     func(el *gateway.Elevated) { el.UserID = "" },
		"external": func(el *gateway.Elevated) { el.ExternalID = "" },
		"scopes":   func(el *gateway.Elevated) { el.Scopes = verifier.Scopes{} },
	} {
		want := b.wantElevated(s)
		change(&want)
		if _, err := b.local.Elevate(t.Context(), s, "", want); err == nil || verifier.CodeOf(err) != "" {
			t.Errorf("without %s: got %v, want an error that is nobody's verdict", name, err)
		}
	}
}

func TestLocalConfigMistakes(t *testing.T) {
	ring := openRing(t, exchange.KeyRingConfig{Store: newStore()})
	for name, cfg := range map[string]exchange.LocalConfig{
		"no environment":           {Ring: ring},
		"environment is no UUID":   {Ring: ring, Environment: "production"},
		"environment has a prefix": {Ring: ring, Environment: "urn:uuid:" + environmentA},
		"no ring":                  {Environment: environmentA},
	} {
		if _, err := exchange.NewLocal(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if l, err := exchange.NewLocal(exchange.LocalConfig{Ring: ring, Environment: environmentA}); err != nil {
		t.Errorf("with both: %v", err)
	} else if l.Issuer() != "urn:uuid:"+environmentA {
		t.Errorf("issuer %q", l.Issuer())
	}
}

func TestWithoutAKeyNothingIsMinted(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	ring := openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now})
	elsewhere := newStore()
	openRing(t, exchange.KeyRingConfig{Store: elsewhere, Algorithm: "EdDSA", Now: clock.Now})
	store.set(func(s *memoryStore) { s.content, s.failSave = elsewhere.stored(), errors.New("read only") })
	if err := ring.Refresh(t.Context()); err == nil {
		t.Fatal("a key was saved where nothing can be")
	}
	_, _, err := ring.Sign("JWT", func(string) any { return struct{}{} })
	wantCode(t, err, verifier.CodeKeysUnavailable)
	if e := (*verifier.Error)(nil); !errors.As(err, &e) || e.RetryAfter <= 0 {
		t.Errorf("got %+v, want an error that says when to try again", e)
	}
}
