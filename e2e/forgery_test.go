package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// spellings are ways to write a header's name that one framework or another takes for
// the same: CGI and WSGI read "_" as "-", and others fold ".".
func spellings(name string) []string {
	all := []string{name, strings.ToLower(name), strings.ToUpper(name)}
	for _, separator := range []string{"_", "."} {
		all = append(all, strings.ReplaceAll(name, "-", separator), strings.ToLower(strings.ReplaceAll(name, "-", separator)))
		all = append(all, strings.Replace(name, "-", separator, 1))
	}
	return all
}

// forging adds each spelling of each name to a request, with a value that nobody but the gateway may set.
func forging(r request, names ...string) request {
	for _, name := range names {
		for _, spelling := range spellings(name) {
			r = r.header(spelling, "forged")
		}
	}
	return r
}

func TestForgedHeadersDoNotArrive(t *testing.T) {
	g := startGateway(t, config{
		Gate: "token_header X-Session\nelevated_header X-Permission-Token\nclaim_header X-User-Email email\nclaim_header X-User-Id user_id",
	})
	managed := []string{"X-Session", "X-Permission-Token", "X-User-Email", "X-User-Id"}
	session := g.signIn(t, g.issuer.token(t, nil))

	s := g.send(t, forging(get(home).bearer(session), managed...).header("X-Harmless", "kept")).mustPass(t).upstream
	for name, want := range map[string]int{"X-Session": 1, "X-Permission-Token": 0, "X-User-Email": 0, "X-User-Id": 1, "X-Harmless": 1} {
		if got := s.named(name); len(got) != want || slices.Contains(got, "forged") {
			t.Errorf("the upstream got %s %q, want %d values, none of them forged", name, got, want)
		}
	}
	t.Run("what the token says does", func(t *testing.T) {
		known := g.issuer.token(t, claims{"email": "a@example.test"})
		s := g.send(t, forging(get(home).bearer(known), managed...)).mustPass(t).upstream
		if got := s.named("X-User-Email"); !slices.Equal(got, []string{"a@example.test"}) {
			t.Errorf("X-User-Email is %q, want the claim", got)
		}
	})
	t.Run("the proof headers neither", func(t *testing.T) {
		r := forging(get(home).bearer(session), "X-Http-Method-Override", "X-Original-Url", "X-Rewrite-Url", "X-Method-Override")
		r = r.header("X_Dyn_Elevated_Access_Token", "forged").header("X.Step.Up.Assertion", "forged")
		s := g.send(t, r).mustPass(t).upstream
		for name := range s.header {
			if slices.Contains(s.header[name], "forged") {
				t.Errorf("the upstream got the forged %s", name)
			}
		}
	})
}

// Caddy drops such spellings by itself, unless an operator expects one of them for
// another reason.
func TestForgedSpellingsThatCaddyWasToldToExpect(t *testing.T) {
	g := startGateway(t, config{
		Global: "servers {\nexpected_underscore_headers x_user_email x_harmless_1\nexpected_dot_headers x.user.name x.harmless.2\n}",
		Gate:   "claim_header X-User-Email email\nclaim_header X-User-Name name",
	})
	r := get(home).bearer(g.issuer.token(t, nil)).header("X_User_Email", "forged").header("X.User.Name", "forged")
	s := g.send(t, r.header("X_Harmless_1", "kept").header("X.Harmless.2", "kept")).mustPass(t).upstream
	for name, want := range map[string]int{"X-User-Email": 0, "X-User-Name": 0, "X-Harmless-1": 1, "X-Harmless-2": 1} {
		if got := s.named(name); len(got) != want {
			t.Errorf("the upstream got %s %q, want %d values", name, got, want)
		}
	}
}

// A claim is what some user of the login system may have chosen.
func TestClaimsThatDoNotFitAHeaderAreLeftOut(t *testing.T) {
	g := startGateway(t, config{Gate: "claim_header X-Name name"})
	for name, sent := range map[string]string{
		"a line break": "a\r\nX-Admin: yes", "NUL": "a\x00b", "a placeholder": "{env.PATH}", "a plain name": "Ada",
	} {
		t.Run(name, func(t *testing.T) {
			s := g.send(t, get(home).bearer(g.issuer.token(t, claims{"name": sent}))).mustPass(t).upstream
			got := s.named("X-Name")
			if fits := !strings.ContainsAny(sent, "\r\n\x00"); fits != slices.Equal(got, []string{sent}) {
				t.Errorf("the upstream got X-Name %q for %q", got, sent)
			}
			if len(s.named("X-Admin")) != 0 {
				t.Error("a claim made a header of its own")
			}
		})
	}
}

// A proxy drops the headers that Connection names (RFC 9110, section 7.6.1), and a
// client must not choose those that the gateway sets.
func TestConnectionDoesNotStripWhatIsInjected(t *testing.T) {
	g := startGateway(t, config{Gate: "claim_header X-Who external_id"})
	external := g.issuer.token(t, nil)
	for _, connection := range []string{"Authorization, X-Who", "close, authorization, x-who", "keep-alive,X-WHO,,Authorization"} {
		s := g.send(t, get(home).bearer(external).header("Connection", connection)).mustPass(t).upstream
		s.bearer(t)
		if got := s.named("X-Who"); !slices.Equal(got, []string{"user-1"}) {
			t.Errorf("Connection: %s: the upstream got X-Who %q, want user-1", connection, got)
		}
	}
}

func TestErrorRouteDoesNotGetTheToken(t *testing.T) {
	i := startIssuer(t, newSecrets())
	errorsUpstream := startUpstream(t, i.secrets)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c := config{
		Gate: "claim_header X-Who external_id",
		Site: "handle_errors {\nreverse_proxy " + errorsUpstream.url + "\n}",
	}
	working := startGatewayFor(t, i, c)
	c.Upstream = gone.URL
	broken := startGatewayFor(t, i, c)

	external := i.token(t, nil)
	elevated := broken.elevate(t, external, "wallet:sign")
	working.send(t, get(home).bearer(external)).mustPass(t).upstream.bearer(t)
	for name, r := range map[string]request{
		"session":  get(home).bearer(external),
		"cookie":   get(home).cookies("session_jwt=" + external),
		"elevated": post(sign).bearer(external).elevated(elevated),
		"inline":   post(sign).bearer(external).assertion(i.assertion(t, "wallet:sign", nil)),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(errorsUpstream.all())
			broken.send(t, r)
			after := errorsUpstream.all()
			if len(after) != before+1 {
				t.Fatalf("the error route was asked %d times, want once", len(after)-before)
			}
			s := after[before]
			for _, name := range []string{"Authorization", "X-Who", "Cookie", "X-Dyn-Elevated-Access-Token", "X-Step-Up-Assertion"} {
				if got := s.named(name); len(got) != 0 {
					t.Errorf("the error route got %s, %d times", name, len(got))
				}
			}
		})
	}
}

func TestTwoCredentialsInOnePlace(t *testing.T) {
	g := startGateway(t, config{})
	one, two := g.issuer.token(t, nil), g.issuer.token(t, claims{"sub": "user-2"})
	withCookie := func(value string) request { return get(home).cookies(value) }
	runAll(t, g, []refusal{
		{"two headers", get(home).bearer(one).bearer(two), get(home).bearer(one), 400, "bad_request"},
		{"the same header twice", get(home).bearer(one).bearer(one), get(home).bearer(one), 400, "bad_request"},
		{"two cookies of one name", withCookie("session_jwt=" + one + "; session_jwt=" + two), withCookie("session_jwt=" + one + "; other=2"), 400, "bad_request"},
		{"in two lines", withCookie("session_jwt=" + one).cookies("session_jwt=" + two), withCookie("session_jwt=" + one).cookies("a=1"), 400, "bad_request"},
	})
}

func TestExternalJWTIsPassedOnOnlyWhereWanted(t *testing.T) {
	g := startGateway(t, config{Gate: "token_header X-Session"})
	external := g.issuer.token(t, nil)
	for name, r := range map[string]request{
		"header": get(home).bearer(external),
		"cookie": get(home).cookies("session_jwt=" + external),
	} {
		s := g.send(t, r).mustPass(t).upstream
		for header, values := range s.header {
			if strings.Contains(strings.Join(values, "\n"), external) {
				t.Errorf("%s: the external JWT reached the upstream in %s", name, header)
			}
		}
	}
	keeps := startGatewayFor(t, g.issuer, config{Gate: "token_header X-Session\nkeep_external"})
	s := keeps.send(t, get(home).bearer(external)).mustPass(t).upstream
	if s.bearer(t) != external || len(s.named("X-Session")) != 1 {
		t.Error("with keep_external the upstream did not get both tokens")
	}
}

// Forwarded headers are data: what is decided does not depend on them.
func TestForwardedHeadersDecideNothing(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	spoofed := func(r request) request {
		for _, name := range []string{"X-Forwarded-Uri", "X-Original-URL", "X-Rewrite-URL", "X-Envoy-Original-Path"} {
			r = r.header(name, home)
		}
		return r.header("X-Forwarded-Method", "GET").header("X-HTTP-Method-Override", "GET").
			header("X-Forwarded-Host", "elsewhere.example.test").header("Forwarded", "for=127.0.0.1;host=elsewhere.example.test")
	}
	for path, code := range map[string]string{export: "step_up_required", "/admin/keys": "route_denied"} {
		plain := g.send(t, post(path).bearer(external)).mustRefuse(t, 403, code)
		forged := g.send(t, spoofed(post(path).bearer(external))).mustRefuse(t, 403, code)
		if plain.body != forged.body || plain.header.Get("WWW-Authenticate") != forged.header.Get("WWW-Authenticate") {
			t.Errorf("%s: with forwarded headers the answer is %v, without %v", path, forged, plain)
		}
	}
}
