package caddymodule_test

import (
	"strings"
	"testing"
)

// cookiesAtUpstream are those of the request that reached it last, as one line.
func (g *running) cookiesAtUpstream() string {
	return strings.Join(g.upstream.last(g.t).Header["Cookie"], "; ")
}

// A browser sends the session cookie to every path of the host, and whoever has it is the user
// at the gateway. The upstream of a public page got it where the gate has a matcher that leaves
// the page out. The login system's own cookie is between its owner and the upstream there.
func TestSessionCookieDoesNotPassBesideTheGate(t *testing.T) {
	g := start(t, cookieEnvironment, `route {
		byoa /private/* {
			token_header X-Session
		}
		byoa /other/* {
			token_header X-Session
		}
		byoa_api
		reverse_proxy {{upstream}}
	}`)
	external := g.external("alice")
	session := g.signedInCookie(external)
	for _, c := range []struct{ path, cookies, want string }{
		{"/public", "a=1; " + session + "; b=2", "a=1; b=2"},
		{"/public", session, ""},
		{"/public", session + "; " + session, ""},
		{"/public", "a=1; " + session + "; ext=" + external, "a=1; ext=" + external},
		{"/public", "a=1; x" + session, "a=1; x" + session},
		{"/private/x", "a=1; " + session + "; b=2", "a=1; b=2"},
		{"/other/x", "a=1; " + session + "; b=2", "a=1; b=2"}, // which has passed beside the first gate
		{"/other/x", session, ""},
	} {
		g.want(request{path: c.path, cookie: c.cookies}, 200, "")
		if got := g.cookiesAtUpstream(); got != c.want {
			t.Errorf("%s with %d bytes of cookies: the upstream got %q, want %q", c.path, len(c.cookies), got, c.want)
		}
		guarded := c.path != "/public"
		if got := g.upstream.last(t).Header.Get("X-Session"); (got != "") != guarded {
			t.Errorf("%s: there is a session: %t, want %t", c.path, got != "", guarded)
		}
	}
	g.want(request{path: "/other/x", cookie: session + "; " + session}, 400, "bad_request")
	g.want(request{path: "/other/x", cookie: "a=1"}, 401, "token_missing")
	g.want(request{method: "POST", path: endpoints + "/refresh", cookie: session}, 200, "")
	g.want(request{method: "POST", path: endpoints + "/refresh", cookie: "a=1"}, 401, "token_missing")
}

// One host has the routes of two environments, and the browser sends the cookies of both to each.
// The upstream of one environment got what signs in at the other.
func TestCookieOfAnotherEnvironmentStaysWithTheGateway(t *testing.T) {
	g := prepare(t)
	second := `environment second {
		issuer https://second.example.com
		jwks_file ` + writeJWKS(t, g.issuer) + `
		cookie_name two
		store memory
	}`
	const site = `
	byoa_api {
		environment default
	}
	handle /two/* {
		byoa second {
			{{keep}}
			token_header X-Session
		}
		reverse_proxy {{upstream}}
	}
	handle {
		byoa default
		reverse_proxy {{upstream}}
	}`
	external := g.external("alice")
	at := g.secret(g.issuer.Token(map[string]any{"sub": "bob", "iss": "https://second.example.com"}))
	for keep, kept := range map[string]string{"": "", "keep_external": "; two=" + at} {
		g.load(cookieEnvironment+"\n"+second, strings.ReplaceAll(site, "{{keep}}", keep))
		session := g.signedInCookie(external)
		g.want(request{path: "/two/x", cookie: "a=1; " + session + "; ext=" + external + "; ext2=3; two=" + at}, 200, "")
		if got, want := g.cookiesAtUpstream(), "a=1; ext2=3"+kept; got != want {
			t.Errorf("%s: the upstream of the second environment got %q, want %q", keep, got, want)
		}
		g.want(request{path: "/one/x", cookie: "a=1; " + session + "; two=" + at}, 200, "")
		if got := g.cookiesAtUpstream(); got != "a=1" {
			t.Errorf("%s: the upstream of the first environment got %q", keep, got)
		}
	}
}

// A name that one environment gives its own cookie may be the login system's in another, on
// another host: there that one's rule counts.
func TestCookieNameOfAnotherEnvironmentIsStillTheLoginSystems(t *testing.T) {
	g := prepare(t)
	second := `environment second {
		issuer https://second.example.com
		jwks_file ` + writeJWKS(t, g.issuer) + `
		cookie_name ` + sessionCookie + `
		store memory
	}`
	at := g.secret(g.issuer.Token(map[string]any{"sub": "bob", "iss": "https://second.example.com"}))
	cookie := sessionCookie + "=" + at
	const gates = `
	byoa /two/* second {
		keep_external
		token_header X-Session
	}
	{{more}}
	reverse_proxy {{upstream}}`
	for _, more := range []string{"", "byoa /one/* default"} {
		g.load(cookieEnvironment+"\n"+second, strings.Replace(gates, "{{more}}", more, 1))
		for _, path := range []string{"/two/x", "/public"} {
			g.want(request{path: path, cookie: cookie}, 200, "")
			if got := g.cookiesAtUpstream(); got != cookie {
				t.Errorf("%s %q: the upstream got %d bytes of cookies, want the login system's", path, more, len(got))
			}
		}
	}
}
