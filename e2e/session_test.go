package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const home = "/wallets/1" // needs a session and nothing more

func TestEveryAlgorithmOfTheLoginSystemOpens(t *testing.T) {
	algorithms := []string{"ES256", "RS256", "PS256", "EdDSA"}
	i := startIssuer(t, newSecrets(), algorithms...)
	g := startGatewayFor(t, i, config{})
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			external := i.sign(t, signing{Alg: alg, Payload: tokenClaims(nil)})
			inHeader := g.send(t, get(home).bearer(external)).mustPass(t)
			inCookie := g.send(t, get(home).cookies("session_jwt="+external)).mustPass(t)
			for name, a := range map[string]*answer{"header": inHeader, "cookie": inCookie} {
				v := i.verify(t, a.upstream.bearer(t), g.jwksURL(), claims{"audience": environmentID})
				if got := v.Payload["external_user_id"]; got != "user-1" {
					t.Errorf("%s: external_user_id is %v, want user-1", name, got)
				}
			}
		})
	}
}

func TestSessionTokenIsWhatABackendExpects(t *testing.T) {
	const issuedBy = "urn:uuid:" + environmentID
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			g := startGateway(t, config{Exchange: "algorithm " + alg})
			external := g.issuer.token(t, claims{"email": "a@example.test", "emailVerified": true})
			tokens := map[string]string{
				"sign-in": g.signIn(t, external),
				"request": g.send(t, get(home).bearer(external)).mustPass(t).upstream.bearer(t),
			}
			for name, token := range tokens {
				v := g.issuer.verify(t, token, g.jwksURL(), claims{
					"issuer": issuedBy, "audience": environmentID, "typ": "at+jwt", "algorithms": []string{alg},
				})
				checkSessionClaims(t, name, v)
			}
		})
	}
}

func checkSessionClaims(t *testing.T, name string, v verified) {
	t.Helper()
	want := claims{
		"token_use": "session", "environment_id": environmentID, "external_user_id": "user-1",
		"email": "a@example.test", "kid": v.Header["kid"],
	}
	for claim, value := range want {
		if v.Payload[claim] != value {
			t.Errorf("%s: %s is %v, want %v", name, claim, v.Payload[claim], value)
		}
	}
	for _, claim := range []string{"sub", "jti", "sid", "client_id", "last_verified_credential_id"} {
		if s, _ := v.Payload[claim].(string); s == "" {
			t.Errorf("%s: %s is %v, want a string", name, claim, v.Payload[claim])
		}
	}
	if v.Payload["scope"] != nil {
		t.Errorf("%s: scope is %v; a session has none", name, v.Payload["scope"])
	}
}

// A session that outlived the login would keep somebody in whom the owner has let go.
func TestSessionEndsWithTheLogin(t *testing.T) {
	g := startGateway(t, config{})
	end := inSeconds(10 * time.Minute)
	short := g.issuer.verify(t, g.signIn(t, g.issuer.token(t, claims{"exp": end})), g.jwksURL(), nil)
	if got := short.date(t, "exp"); got.Unix() != end {
		t.Errorf("the session of a login that ends at %d ends at %d", end, got.Unix())
	}
	long := g.issuer.verify(t, g.signIn(t, g.issuer.token(t, claims{"exp": inSeconds(9 * time.Hour)})), g.jwksURL(), nil)
	if got := long.lifetime(t); got != time.Hour {
		t.Errorf("the session of a long login lives for %v, want %v", got, time.Hour)
	}
}

// The same login is the same user and the same session wherever it turns up; another
// user, and a second sign-in, are not.
func TestIdentifiersAreStable(t *testing.T) {
	g := startGateway(t, config{})
	minted := func(external string) claims {
		token := g.send(t, get(home).bearer(external)).mustPass(t).upstream.bearer(t)
		return g.issuer.verify(t, token, g.jwksURL(), nil).Payload
	}
	external := g.issuer.token(t, nil)
	first := minted(external)
	g.stop(t)
	g.start(t)
	again, other := minted(external), minted(g.issuer.token(t, claims{"sub": "user-2"}))
	if first["sub"] != again["sub"] || first["sid"] != again["sid"] {
		t.Errorf("after a restart sub, sid are %v, %v, want %v, %v", again["sub"], again["sid"], first["sub"], first["sid"])
	}
	if other["sub"] == first["sub"] || other["sid"] == first["sid"] {
		t.Errorf("another user has the same sub or sid: %v, %v", other["sub"], other["sid"])
	}
	signedIn := g.issuer.verify(t, g.signIn(t, external), g.jwksURL(), nil).Payload
	if signedIn["sub"] != first["sub"] || signedIn["sid"] == first["sid"] {
		t.Errorf("a sign-in gave sub %v, sid %v; want the same sub, a new sid", signedIn["sub"], signedIn["sid"])
	}
}

func TestSessionTokenIsACredential(t *testing.T) {
	g := startGateway(t, config{})
	session := g.signIn(t, g.issuer.token(t, nil))
	g.send(t, get(home).bearer(session)).mustPass(t)
	g.send(t, get(home).bearer(tampered(session))).mustRefuse(t, 401, "signature_invalid")
}

func TestSessionCookieIsSetUsedAndCleared(t *testing.T) {
	const name = "__Host-byoa"
	g := startGateway(t, config{Environment: "session {\ncookie " + name + "\n}"})
	set := g.send(t, postJSON(apiPath+"/externalAuth/signin", claims{"jwt": g.issuer.token(t, nil)})).cookie(t, name)
	if !set.HttpOnly || !set.Secure || set.SameSite != http.SameSiteLaxMode || set.Path != "/" || set.Domain != "" {
		t.Errorf("the cookie is %v; want HttpOnly, Secure, SameSite=Lax, Path=/ and no Domain", set.Raw[strings.Index(set.Raw, ";"):])
	}
	use := name + "=" + set.Value
	a := g.send(t, get(home).cookies("a=1; "+use)).mustPass(t)
	if got := a.upstream.header.Get("Cookie"); got != "a=1" {
		t.Errorf("the upstream got the cookies %q, want those of others", got)
	}
	revoked := g.send(t, post(apiPath+"/revoke").cookies(use).header("Sec-Fetch-Site", "same-origin"))
	if cleared := revoked.cookie(t, name); cleared.MaxAge >= 0 || cleared.Value != "" {
		t.Errorf("after the revocation the cookie is set to %d bytes for %d s, want it cleared", len(cleared.Value), cleared.MaxAge)
	}
	g.send(t, get(home).cookies(use)).mustRefuse(t, 401, "session_revoked")
}

// cookie returns the one that an answer sets.
func (a *answer) cookie(t *testing.T, name string) *http.Cookie {
	t.Helper()
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("got %d, want a cookie %s", a.status, name)
	return nil
}

func TestHeaderDecidesOverCookie(t *testing.T) {
	g := startGateway(t, config{Gate: "claim_header X-Who external_id"})
	one, two := g.issuer.token(t, nil), g.issuer.token(t, claims{"sub": "user-2"})
	a := g.send(t, get(home).bearer(one).cookies("a=1; session_jwt="+two+"; b=2")).mustPass(t)
	if got := a.upstream.named("X-Who"); !slices.Equal(got, []string{"user-1"}) {
		t.Errorf("the upstream was told it is %q, want user-1, who is in the header", got)
	}
	g.send(t, get(home).bearer(tampered(one)).cookies("session_jwt="+two)).mustRefuse(t, 401, "signature_invalid")
}

func TestCookiesOfOthersStayAsTheyAre(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	for sent, want := range map[string]string{
		"session_jwt=%s":                       "",
		"a=1; session_jwt=%s; b=2":             "a=1; b=2",
		`odd="q,\"; session_jwt=%s; empty=`:    `odd="q,\"; empty=`,
		"not_session_jwt=keep; session_jwt=%s": "not_session_jwt=keep",
	} {
		a := g.send(t, get(home).cookies(fmt.Sprintf(sent, external))).mustPass(t)
		if got := a.upstream.header.Get("Cookie"); got != want {
			t.Errorf("of the cookies %q the upstream got %q, want %q", sent, got, want)
		}
	}
}

func TestTokenInQueryIsReadOnlyWhereAllowed(t *testing.T) {
	allowed := startGateway(t, config{Gate: "allow_query access_token"})
	external := allowed.issuer.token(t, nil)
	a := allowed.send(t, get(home+"?a=1&access_token="+external+"&b=2")).mustPass(t)
	if a.upstream.target != home+"?a=1&b=2" {
		t.Errorf("the upstream got %s, want the query without the token", a.upstream.target)
	}
	a.upstream.bearer(t)

	elsewhere := startGatewayFor(t, allowed.issuer, config{})
	elsewhere.send(t, get(home+"?access_token=x.y.z")).mustRefuse(t, 401, "token_missing")
	allowed.send(t, get(home+"?access_token=x.y.z")).mustRefuse(t, 401, "token_malformed")
}

func TestOptionalLetsTheAnonymousOnAndNobodyElse(t *testing.T) {
	g := startGateway(t, config{Gate: "optional\nclaim_header X-Who external_id", Guarded: export})
	forged := get(home).header("X-Who", "admin")
	if a := g.send(t, forged); a.upstream == nil || len(a.upstream.named("X-Who")) != 0 {
		t.Errorf("got %v, want an anonymous request without X-Who upstream", a)
	}
	known := g.send(t, forged.bearer(g.issuer.token(t, nil))).mustPass(t)
	if got := known.upstream.named("X-Who"); !slices.Equal(got, []string{"user-1"}) {
		t.Errorf("the upstream got X-Who %q, want user-1", got)
	}
	g.send(t, get(home).bearer("x.y.z")).mustRefuse(t, 401, "token_malformed")
	g.send(t, post("/wallets/1/export")).mustRefuse(t, 401, "token_missing")
}
