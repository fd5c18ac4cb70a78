package caddymodule_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const (
	ownTokensEnvironment = `environment {
			{{environment}}
			cookie_name ext
			assertion {
				type step-up+jwt
			}
			session {
				cookie ` + sessionCookie + `
			}
		}`
	ownTokensSite = `byoa_api {
		check public
	}
	byoa {
		allow_query token
	}
	step_up {
		GET  /wallets/{id}        -
		POST /wallets/{id}/export wallet:export
	}
	reverse_proxy {{upstream}}`
)

// The kinds of token that there are. They are as alike as can be: an external JWT and an
// assertion say the same, but for their typ.
const (
	externalJWT   kind = "external JWT"
	sessionToken  kind = "session token"
	elevatedToken kind = "elevated token"
	assertionJWT  kind = "assertion"
)

type kind string

var kinds = []kind{externalJWT, sessionToken, elevatedToken, assertionJWT}

// fresh makes a token of a kind, about alice, that nobody has used.
func (g *running) fresh(k kind) string {
	g.t.Helper()
	claims := map[string]any{
		"iss": g.issuer.URL(), "sub": "alice", "aud": audience, "scope": "wallet:export",
		"jti": fmt.Sprint(len(g.secrets)), "iat": time.Now().Unix(), "exp": time.Now().Add(50 * time.Minute).Unix(),
	}
	switch k {
	case externalJWT:
		return g.secret(g.issuer.Sign(nil, claims))
	case assertionJWT:
		return g.secret(g.issuer.Sign(map[string]any{"typ": "step-up+jwt"}, claims))
	case sessionToken:
		return g.signedInCookie(g.fresh(externalJWT))[len(sessionCookie)+1:]
	default:
		return g.elevateWith(g.fresh(sessionToken), g.fresh(assertionJWT))
	}
}

// elevateWith exchanges an assertion at the endpoint.
func (g *running) elevateWith(session, assertion string) string {
	g.t.Helper()
	got := g.want(request{method: "POST", path: endpoints + "/externalAuth/verify", bearer: session, body: `{"jwt":"` + assertion + `"}`}, 200, "")
	return g.secret(got.body["elevatedAccessToken"].(string))
}

// A door is a place where a request may bring a token.
type door struct {
	name  string
	knock func(g *running, token string) request
	// answers are what each kind gets there: a status, and what is wrong with it.
	external, session, elevated, assertion string
}

func (d door) answer(k kind) string {
	return map[kind]string{externalJWT: d.external, sessionToken: d.session, elevatedToken: d.elevated, assertionJWT: d.assertion}[k]
}

func bodyOf(token string) string { return `{"jwt":"` + token + `"}` }

// posted is a request to an endpoint.
func posted(endpoint string, r request) request {
	r.method, r.path = "POST", endpoints+endpoint
	return r
}

const noType = "401 type_mismatch"

// doors are all there are. Whoever holds the external JWT signs in with it again: a refresh is not for them.
var doors = []door{
	{"the header of a route", func(_ *running, token string) request { return request{path: "/wallets/1", bearer: token} }, "200", "200", noType, noType},
	{"the query of a route", func(_ *running, token string) request { return request{path: "/wallets/1?token=" + token} }, "200", "200", noType, noType},
	{"the login's cookie at a route", func(_ *running, token string) request { return request{path: "/wallets/1", cookie: "ext=" + token} }, "200", "200", noType, noType},
	{"the session cookie at a route", func(_ *running, token string) request {
		return request{path: "/wallets/1", cookie: sessionCookie + "=" + token}
	}, "200", "200", noType, noType},
	{"the proof of a step-up", func(g *running, token string) request {
		return request{method: "POST", path: "/wallets/1/export", bearer: g.fresh(externalJWT), elevated: token}
	}, "403 elevated_invalid", "403 elevated_invalid", "200", "403 elevated_invalid"},
	{"the assertion of a step-up", func(g *running, token string) request {
		return request{method: "POST", path: "/wallets/1/export", bearer: g.fresh(externalJWT), assertion: token}
	}, noType, noType, noType, "200"},
	{"the body of a sign-in", func(_ *running, token string) request {
		return posted("/externalAuth/signin", request{body: bodyOf(token)})
	}, "200", "422 issuer_mismatch", "422 issuer_mismatch", "422 type_mismatch"},
	{"the login's cookie at a sign-in", func(_ *running, token string) request {
		return posted("/externalAuth/signin", request{body: "{}", cookie: "ext=" + token})
	}, "200", "422 issuer_mismatch", "422 issuer_mismatch", "422 type_mismatch"},
	{"the body of an exchange", func(g *running, token string) request {
		return posted("/externalAuth/verify", request{bearer: g.fresh(sessionToken), body: bodyOf(token)})
	}, "422 type_mismatch", "422 type_mismatch", "422 type_mismatch", "200"},
	{"the session of an exchange", func(g *running, token string) request {
		return posted("/externalAuth/verify", request{bearer: token, body: bodyOf(g.fresh(assertionJWT))})
	}, "200", "200", noType, noType},
	{"the session of a question for scopes", func(_ *running, token string) request {
		return posted("/stepUp/check", request{bearer: token, body: `{"scope":"wallet:export"}`})
	}, "200", "200", noType, noType},
	{"the session of a refresh", func(_ *running, token string) request { return posted("/refresh", request{bearer: token}) }, "400 bad_request", "200", noType, noType},
	{"the cookie of a refresh", func(_ *running, token string) request {
		return posted("/refresh", request{cookie: sessionCookie + "=" + token})
	}, "400 bad_request", "200", noType, noType},
	{"the session that asks who it is", func(_ *running, token string) request {
		return request{path: endpoints + "/users", bearer: token}
	}, "200", "200", noType, noType},
	{"the cookie that asks who it is", func(_ *running, token string) request {
		return request{path: endpoints + "/users", cookie: sessionCookie + "=" + token}
	}, "200", "200", noType, noType},
	{"the session that signs out", func(_ *running, token string) request { return posted("/revoke", request{bearer: token}) }, "204", "204", noType, noType},
	{"the cookie that signs out", func(_ *running, token string) request {
		return posted("/revoke", request{cookie: sessionCookie + "=" + token})
	}, "204", "204", noType, noType},
}

// What we hand out must open no door but its own: a session token that passes for the JWT of
// the login system starts sessions for ever, and an elevated one that passes for a session
// is good for what nobody has confirmed. (Pomerium, CVE-2024-47616; ZITADEL, CVE-2025-46815.)
func TestOurTokensAreNotOurInput(t *testing.T) {
	g := start(t, ownTokensEnvironment, ownTokensSite)
	for _, k := range kinds {
		t.Run(string(k), func(t *testing.T) {
			shown := g.fresh(k) // at every door that is not its own
			for _, d := range doors {
				want, token := d.answer(k), shown
				opens := want[0] == '2'
				if opens {
					token = g.fresh(k)
				}
				r := d.knock(g, token)
				before := g.upstream.count()
				if got := g.answered(r); got != want {
					t.Errorf("%s: %s, want %s", d.name, got, want)
				}
				if !opens && g.upstream.count() != before {
					t.Errorf("%s: the request reached the upstream", d.name)
				}
			}
			for _, d := range doors[:6] { // none of the wrong doors has spent it, or ended its session
				if d.answer(k) == "200" {
					g.want(d.knock(g, shown), 200, "")
					break
				}
			}
		})
	}
}

// answered says how a request was, with the reason where the endpoints give one.
func (g *running) answered(r request) string {
	g.t.Helper()
	got := g.do(r)
	for _, c := range (&http.Response{Header: got.header}).Cookies() {
		if c.Value != "" {
			g.secret(c.Value)
		}
	}
	if token, ok := got.body["elevatedAccessToken"].(string); ok {
		g.secret(token)
	}
	if reason, ok := got.body["reason"].(string); ok {
		return fmt.Sprint(got.status, " ", reason)
	}
	if got.code != "" {
		return fmt.Sprint(got.status, " ", got.code)
	}
	return fmt.Sprint(got.status)
}

// An elevated token of one user proves nothing for another one, and a session of one user
// takes no assertion about another: so no two tokens of different users open a door together.
func TestTokensOfTwoUsersOpenNothingTogether(t *testing.T) {
	g := start(t, ownTokensEnvironment, ownTokensSite)
	bob := g.external("bob")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: bob, elevated: g.fresh(elevatedToken)}, 403, "elevated_subject_mismatch")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: bob, assertion: g.fresh(assertionJWT)}, 401, "subject_mismatch")
	g.want(posted("/externalAuth/verify", request{bearer: bob, body: bodyOf(g.fresh(assertionJWT))}), 422, "invalid_external_auth")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: g.fresh(externalJWT), assertion: g.fresh(assertionJWT)}, 200, "")
}

// Where assertions have no type of their own, ours are none all the same: another one signed them.
func TestOurTokensAreNoAssertionsWhereTheseHaveNoType(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	user := g.signIn("alice")
	export := request{method: "POST", path: "/wallets/1/export", bearer: user}
	for k, token := range map[kind]string{sessionToken: user, elevatedToken: g.elevate(user, "alice", "wallet:export")} {
		r := export
		r.assertion = token
		if got := g.answered(r); got != "401 issuer_mismatch" {
			t.Errorf("%s, inline: %s", k, got)
		}
		if got := g.answered(posted("/externalAuth/verify", request{bearer: user, body: bodyOf(token)})); got != "422 issuer_mismatch" {
			t.Errorf("%s, at the endpoint: %s", k, got)
		}
	}
	export.assertion = g.assertion("alice", "wallet:export")
	g.want(export, 200, "")
}

// The check says whether a JWT would sign somebody in. Of ours it must not say so.
func TestCheckDoesNotVouchForOurTokens(t *testing.T) {
	g := start(t, ownTokensEnvironment, ownTokensSite)
	g.want(request{path: "/wallets/1", bearer: g.fresh(externalJWT)}, 200, "") // so that the issuer's keys are here: a check fetches none
	for _, k := range kinds {
		got := g.want(request{method: "POST", path: "/api/v0/environments/" + environmentID + "/externalJwt/check", body: `{"encodedJwt":"` + g.fresh(k) + `"}`}, 200, "")
		if got.body["valid"] != (k == externalJWT) {
			t.Errorf("%s: %s", k, got.raw)
		}
	}
}

// The admin API is for whoever may reach its address, and for nobody else. A token, ours or
// not, is no way in: what is refused without one is refused with it, in the same words.
func TestAdminTakesNoTokenForAWayIn(t *testing.T) {
	g := prepareAdmin(t)
	g.load(ownTokensEnvironment, ownTokensSite)
	brought := []http.Header{{}}
	for _, k := range kinds {
		token := g.fresh(k)
		brought = append(brought,
			http.Header{"Cookie": {"ext=" + token + "; " + sessionCookie + "=" + token}},
			http.Header{"X-Dyn-Elevated-Access-Token": {token}, "X-Step-Up-Assertion": {token}, "Authorization": {"Bearer " + token}},
		)
	}
	for _, e := range adminEndpoints {
		for name, r := range map[string]request{
			"a page of another origin": {method: e.method, path: e.path, body: e.body, header: http.Header{"Origin": {"https://evil.example"}}},
			"another method":           {method: "PUT", path: e.path, body: e.body},
			"no such endpoint":         {method: e.method, path: e.path + "/x", body: e.body},
			"control":                  {method: e.method, path: e.path, body: e.body},
		} {
			r.at = g.admin
			var without response
			for i, header := range brought {
				with := r
				with.header = header.Clone()
				for k, v := range r.header {
					with.header[k] = v
				}
				got := g.do(with)
				if i == 0 {
					without = got
				}
				refused := got.status >= 400
				if got.status != without.status || refused && got.raw != without.raw || refused == (name == "control") {
					t.Errorf("%s %s: %s: with a token %d %s, without %d %s", e.method, e.path, name, got.status, got.raw, without.status, without.raw)
				}
			}
		}
	}
	g.want(request{path: "/wallets/1", bearer: g.fresh(externalJWT)}, 200, "")
}
