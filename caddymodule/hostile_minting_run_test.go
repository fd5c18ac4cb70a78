package caddymodule_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	mintingEnvironment = `environment {
			{{environment}}
			assertion {
				type step-up+jwt
			}
		}`
	forgedWord = "forged"
)

// forgedClaims are the names of whatever our tokens say, or a service could go by in them,
// each with what somebody would have it say who can choose claims at the login system. It
// holds nothing by which the token would be refused.
func forgedClaims() map[string]any {
	return map[string]any{
		"jti": forgedWord, "sid": forgedWord, "kid": forgedWord, "typ": forgedWord, "alg": "none",
		"aud":                         []string{audience, forgedWord},
		"nbf":                         1,
		"environment_id":              forgedWord,
		"external_user_id":            forgedWord,
		"last_verified_credential_id": forgedWord,
		"token_use":                   "elevated",
		"scope":                       "wallet:export wallet:sign",
		"scopes":                      []string{"wallet:export"},
		"singleUse":                   false,
		"refresh_exp":                 1 << 50,
		"external_sid":                forgedWord,
		"external_claims":             map[string]any{"sub": forgedWord, "iss": forgedWord},
		"email":                       forgedWord + "@example.com", // nobody vouches for it
		"user_id":                     forgedWord,
		"act":                         map[string]any{"sub": forgedWord},
		"may_act":                     map[string]any{"sub": forgedWord},
		"cnf":                         map[string]any{"jkt": forgedWord},
		"authorization_details":       []any{map[string]any{"type": forgedWord}},
	}
}

// oddClaims are the same names with values of other types, on which a merge could trip.
func oddClaims() map[string]any {
	odd := forgedClaims()
	for _, name := range []string{"sid", "kid", "environment_id", "external_user_id", "last_verified_credential_id", "external_sid", "email"} {
		odd[name] = []any{forgedWord, 1, nil}
	}
	odd["token_use"], odd["singleUse"], odd["refresh_exp"], odd["external_claims"] = map[string]any{"a": 1}, "false", "never", nil
	return odd
}

// A minting is one kind of external JWT and assertion, both of one user.
type minting struct{ external, assertion map[string]any }

// mint gets every kind of token that the gateway makes, in every way in which it does.
func (g *running) mint(m minting) map[string]string {
	g.t.Helper()
	external := g.external("alice", map[string]any{"exp": time.Now().Add(48 * time.Hour).Unix()}, m.external)
	assertion := func() string {
		claims := map[string]any{"sub": "alice", "scope": "wallet:export", "jti": "a-" + base64.RawURLEncoding.EncodeToString([]byte(time.Now().String()))}
		for name, value := range m.assertion {
			if name != "scope" && name != "jti" { // which are the assertion's to say
				claims[name] = value
			}
		}
		claims["exp"] = time.Now().Add(50 * time.Minute).Unix()
		return g.secret(g.issuer.Sign(map[string]any{"typ": "step-up+jwt"}, claims))
	}
	session := g.signInWith(external)
	export := func(bearer string) string {
		g.want(request{method: "POST", path: "/wallets/1/export", bearer: bearer, assertion: assertion()}, 200, "")
		return g.arrived()
	}
	verified := g.want(request{method: "POST", path: endpoints + "/externalAuth/verify", bearer: session, body: `{"jwt":"` + assertion() + `"}`}, 200, "")
	g.want(request{path: "/wallets/1", bearer: external}, 200, "")
	return map[string]string{
		"session, inline":                          g.arrived(),
		"session, signed in":                       session,
		"session, refreshed":                       g.refreshed(session),
		"elevated, at the endpoint":                g.secret(verified.body["elevatedAccessToken"].(string)),
		"elevated, inline, for the external JWT":   export(external),
		"elevated, inline, for the session signed": export(session),
	}
}

// arrived is the token that the upstream was given last.
func (g *running) arrived() string {
	g.t.Helper()
	return strings.TrimPrefix(g.upstream.last(g.t).Header.Get("Authorization"), "Bearer ")
}

// minted is what a token says that does not depend on when and for which session it was made.
func minted(t *testing.T, token string) map[string]any {
	t.Helper()
	said := claimsOf(t, token)
	for name, unit := range map[string]float64{"exp": 60, "refresh_exp": 3600} { // as long as every other one's
		if _, there := said[name]; there {
			said[name] = math.Round((date(t, said, name) - date(t, said, "iat")) / unit)
		}
	}
	if since := time.Since(time.Unix(int64(date(t, said, "iat")), 0)); since < 0 || since > time.Hour {
		t.Errorf("iat is %s ago", since)
	}
	delete(said, "iat")
	for _, name := range []string{"jti", "sid", "external_sid"} { // each its own
		if value, there := said[name]; there {
			said[name] = len(value.(string))
		}
	}
	delete(said, "external_claims") // which are the external JWT's, and nobody's but the gateway's
	header, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
	if err != nil {
		t.Fatal(err)
	}
	var of map[string]any
	if err := json.Unmarshal(header, &of); err != nil {
		t.Fatal(err)
	}
	said["header"] = of
	return said
}

// An attacker who can have the login system put claims of their choice into a JWT, as many
// do with profiles, must not choose what we say to the services behind us by that: neither in
// a session nor in what is needed to move money. (ZITADEL, CVE-2024-29892.)
func TestClaimsCannotBecomeOurs(t *testing.T) {
	g := start(t, mintingEnvironment, plainSite)
	plain := g.mint(minting{})
	for name, token := range plain {
		if use := claimsOf(t, token)["token_use"]; !strings.HasPrefix(name, use.(string)) {
			t.Fatalf("control: %s: token_use is %v", name, use)
		}
	}
	for name, m := range map[string]minting{
		"control: claims of no meaning here":  {external: map[string]any{"color": "blue"}, assertion: map[string]any{"color": "blue"}},
		"in the external JWT":                 {external: forgedClaims()},
		"in the assertion":                    {assertion: forgedClaims()},
		"in both":                             {external: forgedClaims(), assertion: forgedClaims()},
		"in the external JWT, of other types": {external: oddClaims()},
		"in the assertion, of other types":    {assertion: oddClaims()},
	} {
		t.Run(name, func(t *testing.T) {
			got := g.mint(m)
			for way, token := range got {
				want, said := minted(t, plain[way]), minted(t, token)
				if !reflect.DeepEqual(said, want) {
					t.Errorf("%s: the token says\n%v\nwant\n%v", way, said, want)
				}
				own := claimsOf(t, token)
				delete(own, "external_claims")
				if all, _ := json.Marshal(own); strings.Contains(string(all), forgedWord) {
					t.Errorf("%s: a claim of somebody else is among ours: %s", way, all)
				}
			}
			g.wantSpentOnce(got)
		})
	}
}

// wantSpentOnce fails the test unless a session opens nothing by itself, and an elevated
// token serves once, whatever was said of them.
func (g *running) wantSpentOnce(tokens map[string]string) {
	g.t.Helper()
	r := request{method: "POST", path: "/wallets/1/export", bearer: tokens["session, signed in"]}
	g.want(r, 403, "step_up_required")
	r.elevated = tokens["elevated, at the endpoint"]
	g.want(r, 200, "")
	g.want(r, 403, "elevated_used")
	for _, way := range []string{"elevated, inline, for the external JWT", "elevated, inline, for the session signed"} {
		r.elevated = tokens[way]
		if got := g.do(r); got.status != 403 {
			g.t.Errorf("%s: the token that was spent as it was made serves again: %d", way, got.status)
		}
	}
}

// The application that a session is for is the login system's to say (RFC 9068 section 2.2),
// and that is all: an assertion, which buys something for a session, does not change it.
func TestOnlyTheLoginNamesTheApplication(t *testing.T) {
	g := start(t, mintingEnvironment, plainSite)
	for name, m := range map[string]minting{
		"app":         {external: map[string]any{"client_id": "app"}, assertion: map[string]any{"client_id": forgedWord, "azp": forgedWord}},
		environmentID: {assertion: map[string]any{"client_id": forgedWord, "azp": forgedWord}},
	} {
		for way, token := range g.mint(m) {
			if got := claimsOf(t, token)["client_id"]; got != name {
				t.Errorf("%s: client_id is %v, want %s", way, got, name)
			}
		}
	}
	odd := maps.Clone(forgedClaims())
	odd["client_id"], odd["azp"] = []any{forgedWord}, map[string]any{"sub": forgedWord}
	for way, token := range g.mint(minting{external: odd}) {
		if got := claimsOf(t, token)["client_id"]; got != environmentID {
			t.Errorf("%s: client_id is %v, want the environment: the JWT names none", way, got)
		}
	}
}
