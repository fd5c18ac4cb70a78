package caddymodule_test

import (
	"net/http"
	"testing"
)

// A header made of a claim that a user does not have was the placeholder itself, as it is written
// in the config: to an upstream that makes an account for each value, all users without one were
// the same user, and so was everybody without a session.
func TestMissingClaimIsNobodysName(t *testing.T) {
	g := start(t, plainEnvironment, `route {
	byoa /private/* {
		token_header X-Session
	}
	byoa /optional/* {
		token_header X-Session
		optional
	}
	reverse_proxy {{upstream}} {
		header_up X-Email  {byoa.claims.email}
		header_up X-City   {byoa.claims.address.city}
		header_up X-User   {http.auth.user.external_id}
		header_up X-Id     {http.auth.user.id}
		header_up X-Mail   {http.auth.user.email}
		header_up X-Scope  {http.auth.user.scope}
		header_up X-Sid    {http.auth.user.session}
		header_up X-Mixed  "mail:{byoa.claims.email}"
		header_up X-Nobody {byoa.unknown}
	}
	}`)
	at := map[string]any{"email": "alice@example.com", "email_verified": true, "address": map[string]any{"city": "Bern"}}
	for _, c := range []struct {
		name, path, bearer, email, city, user, mail string
		session                                     bool
	}{
		{"a user with the claims", "/private/x", g.external("alice", at), "alice@example.com", "Bern", "alice", "alice@example.com", true},
		{"one without", "/private/x", g.external("bob"), "", "", "bob", "", true},
		{"one whose claims are null", "/private/x", g.external("carol", map[string]any{"email": nil, "address": nil}), "", "", "carol", "", true},
		{"one of the second gate", "/optional/x", g.external("alice", at), "alice@example.com", "Bern", "alice", "alice@example.com", true},
		{"nobody", "/optional/x", "", "", "", "", "", false},
		{"whoever comes beside the gates", "/public", g.external("alice", at), "", "", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.want(request{path: c.path, bearer: c.bearer}, 200, "")
			h := g.upstream.last(t).Header
			for name, want := range map[string]string{
				"X-Email": c.email, "X-City": c.city, "X-User": c.user, "X-Mail": c.mail, "X-Scope": "",
				"X-Mixed": "mail:" + c.email, "X-Nobody": "{byoa.unknown}", // as Caddy leaves what nobody knows
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			for _, name := range []string{"X-Id", "X-Sid"} {
				if (h.Get(name) != "") != c.session {
					t.Errorf("%s is %q", name, h.Get(name))
				}
			}
		})
	}
}

// Caddy's own basic_auth says who somebody is in the same words. A gate that lets everybody else on
// does not say that it was nobody.
func TestUserOfAnotherHandlerIsNotForgotten(t *testing.T) {
	g := start(t, plainEnvironment, `route {
		basic_auth {
			admin `+passwordHash+`
		}
		byoa /private/*
		byoa /optional/* {
			optional
		}
		reverse_proxy {{upstream}} {
			header_up X-User {http.auth.user.id}
			header_up X-Sid  {http.auth.user.session}
		}
	}`)
	own := http.Header{"Authorization": {"Basic YWRtaW46cGFzc3dvcmQ="}}
	for _, path := range []string{"/optional/x", "/public"} {
		g.want(request{path: path, header: own}, 200, "")
		h := g.upstream.last(t).Header
		if h.Get("X-User") != "admin" || h.Get("X-Sid") != "" {
			t.Errorf("%s: the upstream got the user %q with the session %q", path, h.Get("X-User"), h.Get("X-Sid"))
		}
	}
}

// passwordHash is of "password", as `caddy hash-password` makes it.
const passwordHash = "$2a$04$RkqtB39QofYXVSx4HDax4ucPKzW/QpdakUEQaEv2ciNp4K2VW2coC"
