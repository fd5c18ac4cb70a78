package e2e_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var user1 = login{user: "user-1"}

func TestAccessTokenOfARealProviderOpens(t *testing.T) {
	p := startProvider(t, newSecrets())
	g := p.gateway(t, config{
		Gate: "claim_header X-Who external_id\nclaim_header X-App client_id\nclaim_header X-Acr acr\nclaim_header X-Aud aud",
	})
	token := p.newApp(t).authorize(t, user1, nil).AccessToken
	for name, credential := range map[string]string{"access token": token, "session token": g.signIn(t, token)} {
		s := g.send(t, get(home).bearer(credential)).mustPass(t).upstream
		for header, want := range map[string]string{"X-Who": "user-1", "X-App": appID, "X-Acr": "pwd", "X-Aud": audienceName} {
			if got := s.named(header); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: the upstream got %s %q, want %s", name, header, got, want)
			}
		}
	}
}

// A provider issues tokens for many purposes, with one key and one name: only the
// audience says which of them are for us.
func TestTokensOfARealProviderForOthers(t *testing.T) {
	p := startProvider(t, newSecrets())
	api := p.gateway(t, config{})
	client := p.gateway(t, config{Trust: strings.Replace(p.trust(), audienceName, appID, 1)})

	app := p.newApp(t)
	ours := app.authorize(t, user1, nil)
	others := app.authorize(t, user1, asking{"resource": "https://other.example.test"})
	with := func(token string) request { return get(home).bearer(token) }
	runAll(t, api, []refusal{
		{"an access token for another API", with(others.AccessToken), with(ours.AccessToken), 401, "audience_mismatch"},
		{"an ID token", with(ours.IDToken), with(ours.AccessToken), 401, "audience_mismatch"},
	})
	t.Run("an ID token where the client is the audience", func(t *testing.T) {
		refusal{"", with(ours.AccessToken), with(ours.IDToken), 401, "audience_mismatch"}.run(t, client)
	})
}

// A provider that rotates signs with the new key at once, and keeps the last one
// published for the tokens that are still about.
func TestARealProviderRotatesItsKeys(t *testing.T) {
	p := startProvider(t, newSecrets())
	app := p.newApp(t)
	issue := func() request { return get(home).bearer(app.authorize(t, user1, nil).AccessToken) }

	first := issue()
	g := p.gateway(t, config{})
	g.send(t, first).mustPass(t)
	second := mustPassOnceRotated(t, p, g, issue)
	g.send(t, first).mustPass(t)

	g = p.gateway(t, config{}) // one that has not just asked for a key it did not know
	g.send(t, first).mustPass(t)
	mustPassOnceRotated(t, p, g, issue)
	g.send(t, second).mustPass(t)
	g.send(t, first).mustRefuse(t, 401, "key_not_found")
}

// mustPassOnceRotated fails the test unless the first token that is signed with a new key
// passes, at the price of one fetch.
func mustPassOnceRotated(t *testing.T, p *provider, g *gateway, issue func() request) request {
	t.Helper()
	p.rotate(t)
	fetched := p.fetches(t)
	r := issue()
	g.send(t, r).mustPass(t)
	if got := p.fetches(t) - fetched; got != 1 {
		t.Errorf("the new key was fetched %d times, want once", got)
	}
	return r
}

func TestStepUpByTheBackendOfARealProvider(t *testing.T) {
	p := startProvider(t, newSecrets())
	access := p.newApp(t).authorize(t, user1, nil).AccessToken // has a jti and the scope, wallet:export

	t.Run("assertions have a type", func(t *testing.T) {
		g := p.gateway(t, config{})
		to := post(export).bearer(access)
		inline := to.assertion(p.assertion(t, "wallet:export", nil))
		g.send(t, to).mustRefuse(t, 403, "step_up_required")
		g.send(t, to.assertion(access)).mustRefuse(t, 401, "type_mismatch")
		g.send(t, verifyRequest(access, access)).mustNotServe(t, "type_mismatch")
		g.send(t, inline).mustPass(t)
		g.send(t, inline).mustRefuse(t, 401, "replayed")
		elevated := to.elevated(g.elevate(t, access, "wallet:export"))
		g.send(t, elevated).mustPass(t)
		g.send(t, elevated).mustRefuse(t, 403, "elevated_used")
	})
	t.Run("assertions have no mark", func(t *testing.T) {
		g := p.gateway(t, config{Assertion: "max_lifetime 1h"})
		to := post(export).bearer(access)
		g.send(t, to.assertion(access)).mustRefuse(t, 401, "type_mismatch")
		unmarked := p.sign(t, signing{Payload: assertionClaims("wallet:export", nil)})
		g.send(t, to.assertion(unmarked)).mustPass(t)
	})
}

// What a client does with the challenge (RFC 9470): it passes it on to the provider, which
// asks the user again, and comes back with a token that serves.
func TestLoginIsRepeatedAtARealProvider(t *testing.T) {
	p := startProvider(t, newSecrets())
	for name, c := range map[string]struct {
		need      string
		first     login // that does not meet it
		challenge asking
		good      login // that does, with what the app asked for
		ask       asking
	}{
		"too long ago": {
			need: "max_age 5m", first: login{"user-1", time.Hour}, challenge: asking{"max_age": "300"},
			good: login{"user-1", time.Minute},
		},
		"by weak means": {
			need: "acr mfa", first: user1, challenge: asking{"acr_values": "mfa"},
			good: user1, ask: asking{"acr_values": "mfa"},
		},
		"both": {
			need: "max_age 5m\nacr mfa", first: login{"user-1", time.Hour}, challenge: asking{"max_age": "300", "acr_values": "mfa"},
			good: login{"user-1", time.Minute}, ask: asking{"acr_values": "mfa"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := p.gateway(t, config{Table: c.need + "\nGET /wallets/{id} -"})
			with := func(got granted) request { return get(home).bearer(got.AccessToken) }
			g.send(t, with(p.newApp(t).authorize(t, c.good, c.ask))).mustPass(t)

			app := p.newApp(t)
			refused := g.send(t, with(app.authorize(t, c.first, nil))).mustRefuse(t, 401, "reauthentication_required")
			challenge := refused.reauthentication()
			if encoded(challenge) != encoded(c.challenge) {
				t.Fatalf("WWW-Authenticate asks for %v, want %v", challenge, c.challenge)
			}
			again := app.authorize(t, user1, nil)
			if again.asked {
				t.Fatal("the provider showed its login page though the user has a session and nothing was asked for")
			}
			g.send(t, with(again)).mustRefuse(t, 401, "reauthentication_required")
			repeated := app.authorize(t, user1, challenge)
			if !repeated.asked {
				t.Error("the provider did not show its login page, though it was asked for another login")
			}
			g.send(t, with(repeated)).mustPass(t)
		})
	}
}

var authParam = regexp.MustCompile(`(max_age|acr_values)="?([^",]*)"?`)

// reauthentication is what a challenge wants of the login, in the words of an
// authorization request (RFC 9470, section 4).
func (a *answer) reauthentication() asking {
	ask := make(asking)
	for _, parameter := range authParam.FindAllStringSubmatch(a.header.Get("WWW-Authenticate"), -1) {
		ask[parameter[1]] = parameter[2]
	}
	return ask
}

// While the provider is away nobody can sign in there, but who has can go on: also with a
// token that was never seen here, and after a restart.
func TestARealProviderIsAway(t *testing.T) {
	p := startProvider(t, newSecrets())
	g := p.gateway(t, config{})
	app := p.newApp(t)
	seen, unseen, late := app.authorize(t, user1, nil), app.authorize(t, user1, nil), app.authorize(t, user1, nil)
	proof := p.assertion(t, "wallet:export", nil)
	g.send(t, get(home).bearer(seen.AccessToken)).mustPass(t)

	p.node.end(t)
	g.send(t, get(home).bearer(seen.AccessToken)).mustPass(t)
	g.send(t, get(home).bearer(unseen.AccessToken)).mustPass(t)
	g.stop(t)
	g.start(t)
	g.send(t, get(home).bearer(seen.AccessToken)).mustPass(t)
	g.send(t, get(home).bearer(late.AccessToken)).mustPass(t)
	g.send(t, get(home).bearer(tampered(late.AccessToken))).mustRefuse(t, 401, "signature_invalid")
	g.send(t, post(export).bearer(late.AccessToken).assertion(proof)).mustPass(t)
}

// Whoever may put a document where metadata is looked for must not become the issuer by
// that. Each of these differs in one thing from what is taken.
func TestHostileMetadata(t *testing.T) {
	i := startIssuer(t, newSecrets())
	web := startWeb(t)
	names := func(issuer any, jwks string) http.Handler {
		return jsonAnswer(claims{"issuer": issuer, "jwks_uri": jwks})
	}
	honest := web.url + "/honest"
	web.handle("/honest/", names(honest, i.jwksURL()))
	web.handle("/moved/", http.RedirectHandler("/moved-to", http.StatusTemporaryRedirect))
	web.handle("/moved-to", names(web.url+"/moved", i.jwksURL()))
	web.handle("/document-of-redirected", names(web.url+"/redirected", i.jwksURL()))
	hostile := map[string]struct {
		answer http.Handler
		says   string
	}{
		"/of-another": {names(honest, i.jwksURL()), "is of the issuer"},
		"/of-almost":  {names(web.url+"/of-almost/", i.jwksURL()), "is of the issuer"},
		"/of-nobody":  {names(nil, i.jwksURL()), "is of the issuer"},
		"/of-two":     {names([]string{web.url + "/of-two", honest}, i.jwksURL()), "is of the issuer"},
		"/no-keys":    {names(web.url+"/no-keys", ""), "no jwks_uri"},
		"/far-keys":   {names(web.url+"/far-keys", "http://keys.example.test/jwks"), "could replace the keys"},
		"/redirected": {http.RedirectHandler(web.alias+"/document-of-redirected", http.StatusTemporaryRedirect), "redirected to another host"},
	}
	c := config{Trust: trust(honest, "discovery on"), Environment: also(web.url+"/moved", "discovery on")}
	for path, h := range hostile {
		web.handle(path+"/", h.answer)
		c.Environment += also(web.url+path, "discovery on")
	}
	g := startGatewayFor(t, i, c)
	of := func(issuer string) request { return get(home).bearer(i.token(t, claims{"iss": issuer})) }
	g.send(t, of(honest)).mustPass(t)
	g.send(t, of(web.url+"/moved")).mustPass(t)
	for path := range hostile {
		g.send(t, of(web.url+path)).mustRefuse(t, 503, "keys_unavailable")
	}
	g.stop(t)
	for path, h := range hostile {
		if !g.process.logged(t, web.url+path+`"`, h.says) {
			t.Errorf("%s: no line of the log names the issuer and says %q", path, h.says)
		}
	}
}
