package caddymodule_test

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// An address that a login system does not vouch for can be anybody's: an app that goes by
// it would let them in as whoever has it.
func TestEmailIsThatOfWhoeverTheLoginSystemVouchesFor(t *testing.T) {
	g := prepare(t)
	assuming, distrusted := verifiertest.NewIssuer(t), verifiertest.NewIssuer(t)
	provider := func(i *verifiertest.Issuer, line string) string {
		return "provider " + i.URL() + " {\n jwks_url " + i.JWKSURL() + "\n audience " + audience + "\n " + line + "\n}\n"
	}
	g.load(`environment {
			{{environment}}
			cors `+pageOrigin+`
			`+provider(assuming, "assume_email_verified")+provider(distrusted, "trust_email off")+`
		}`, plainSite)
	const address = "alice@example.com"
	for _, c := range []struct {
		name   string
		issuer *verifiertest.Issuer
		claims map[string]any
		shown  bool
	}{
		{"verified", g.issuer, map[string]any{"emailVerified": true}, true},
		{"verified, as OpenID Connect says it", g.issuer, map[string]any{"email_verified": true}, true},
		{"not verified", g.issuer, map[string]any{"emailVerified": false}, false},
		{"nobody says", g.issuer, nil, false},
		{"verified, in words", g.issuer, map[string]any{"emailVerified": "true"}, false},
		{"assumed: nobody says", assuming, nil, true},
		{"assumed: verified", assuming, map[string]any{"emailVerified": true}, true},
		{"assumed: not verified", assuming, map[string]any{"emailVerified": false}, false},
		{"assumed: not verified, as OpenID Connect says it", assuming, map[string]any{"email_verified": false}, false},
		{"trust_email off: verified", distrusted, map[string]any{"emailVerified": true}, false},
		{"trust_email off: nobody says", distrusted, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims := map[string]any{"sub": "alice", "aud": audience, "email": address, "given_name": "Alice"}
			for name, value := range c.claims {
				claims[name] = value
			}
			s := newSDK(g)
			signedIn := userOf(t, s.signedIn(g.secret(c.issuer.Token(claims))))
			for when, user := range map[string]map[string]any{"sign-in": signedIn, "users": s.call(s.get("/users"), 200, "").body} {
				email := emailsOf(user)
				switch {
				case c.shown && (user["email"] != address || len(email) != 1 || email[0]["email"] != address || email[0]["id"] == ""):
					t.Errorf("%s: the email is %v, its credentials %v, want %s and one", when, user["email"], email, address)
				case !c.shown && (user["email"] != nil || len(email) > 0):
					t.Errorf("%s: the email is %v, its credentials %v, want none", when, user["email"], email)
				}
				if user["firstName"] != "Alice" {
					t.Errorf("%s: the first name is %v, want Alice", when, user["firstName"])
				}
			}
			if told := claimsOf(t, s.token)["email"]; (told == address) != c.shown {
				t.Errorf("the session token says %v", told)
			}
		})
	}
}

// emailsOf are the credentials of a user that are addresses.
func emailsOf(user map[string]any) (emails []map[string]any) {
	for _, c := range user["verifiedCredentials"].([]any) {
		if c := c.(map[string]any); c["format"] == "email" {
			emails = append(emails, c)
		}
	}
	return emails
}

// An app greets who is new, and must not greet them twice because the gateway was restarted.
func TestUserIsNewOnce(t *testing.T) {
	g := start(t, sdkEnvironment, plainSite)
	external := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: external}, 200, "") // is no sign-in
	first := userOf(t, newSDK(g).signedIn(external))
	if first["newUser"] != true || instant(t, first, "firstVisit") != instant(t, first, "lastVisit") {
		t.Errorf("the first sign-in says %v, want a new user, who is here for the first time", first)
	}
	last := instant(t, first, "lastVisit")
	again := func(when string) {
		t.Helper()
		user := userOf(t, newSDK(g).signedIn(g.external("alice")))
		if user["newUser"] != false || user["firstVisit"] != first["firstVisit"] || user["id"] != first["id"] {
			t.Errorf("%s: %v, want the same user as in %v, and not new", when, user, first)
		}
		if visit := instant(t, user, "lastVisit"); visit.Before(last) {
			t.Errorf("%s: the last visit is %s, which is before %s", when, visit, last)
		} else {
			last = visit
		}
	}
	again("at once")
	g.load(sdkEnvironment, plainSite+"\n\theader X-Config two")
	again("after a reload")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.load(sdkEnvironment, plainSite)
	again("after a restart")
	if bob := userOf(t, newSDK(g).signedIn(g.external("bob"))); bob["newUser"] != true || bob["id"] == first["id"] {
		t.Errorf("bob is %v, want a new user", bob)
	}
}

func instant(t *testing.T, user map[string]any, name string) time.Time {
	t.Helper()
	text, _ := user[name].(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || time.Since(at).Abs() > time.Hour {
		t.Fatalf("%s is %v, want an instant of just now", name, user[name])
	}
	return at
}
