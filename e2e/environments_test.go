package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTwoEnvironmentsShareNothing(t *testing.T) {
	first, second := startTwoSites(t)
	i := first.issuer
	both := external(t, i, "first", "second")
	foreign, own := first.session(t, both), second.session(t, both)
	t.Run("one login is another user in each", func(t *testing.T) {
		if one, two := first.userOf(t, both), second.userOf(t, both); one == two {
			t.Errorf("it is %s in both", one)
		}
	})
	with := func(token string) request { return get(home).bearer(token) }
	runAll(t, second.gateway, []refusal{
		{"an external JWT for the other", with(external(t, i, "first")), with(external(t, i, "second")), 401, "audience_mismatch"},
		{"a session token of the other", with(foreign), with(own), 401, "issuer_mismatch"},
	})
	to := post(export).bearer(own)
	prove := func(s site, name, credential string) request {
		return to.elevated(s.proof(t, credential, permission(t, i, name)))
	}
	runAll(t, second.gateway, []refusal{
		{"an elevated token of the other", prove(first, "first", foreign), prove(second, "second", own), 403, "elevated_invalid"},
		{"one that the same login got there", prove(first, "first", both), prove(second, "second", own), 403, "elevated_invalid"},
		{"an assertion for the other", to.assertion(permission(t, i, "first")), to.assertion(permission(t, i, "second")), 401, "audience_mismatch"},
	})
	t.Run("endpoints", func(t *testing.T) {
		misplaced := site{second.gateway, first.environment}
		if a := misplaced.ask(t, "/externalAuth/signin", claims{"jwt": both}, ""); a.status != http.StatusNotFound {
			t.Errorf("those of the other, here: got %v, want 404", a)
		}
		second.ask(t, "/refresh", nil, foreign).mustRefuse(t, 401, "issuer_mismatch")
		second.ask(t, "/externalAuth/signin", claims{"jwt": foreign}, "").mustNotServe(t, "issuer_mismatch")
	})
}

// Both trust one login system, and still a session that ends in one goes on in the other.
func TestRevokingInOneEnvironment(t *testing.T) {
	first, second := startTwoSites(t)
	both := external(t, first.issuer, "first", "second")
	one, two := first.session(t, both), second.session(t, both)
	first.revoke(t, one)
	for _, gone := range []string{one, both} {
		first.send(t, get(home).bearer(gone)).mustRefuse(t, 401, "session_revoked")
	}
	for _, left := range []string{two, both} {
		second.send(t, get(home).bearer(left)).mustPass(t)
	}
}

// The operator turns one off, for all instances and beyond restarts.
func TestDisablingOneEnvironmentLeavesTheOther(t *testing.T) {
	first, second := startTwoSites(t)
	both := external(t, first.issuer, "first", "second")
	one, two := get(home).bearer(first.session(t, both)), get(home).bearer(second.session(t, both))

	first.operate(t, "/byoa/environments/second/disable")
	second.send(t, two).mustRefuse(t, 403, "external_auth_disabled")
	first.send(t, one).mustPass(t)
	first.reload(t)
	second.send(t, two).mustRefuse(t, 403, "external_auth_disabled")
	first.send(t, one).mustPass(t)
	first.operate(t, "/byoa/environments/second/enable")
	second.send(t, two).mustPass(t)
}

// operate posts to the admin API, which has to do what it is told.
func (g *gateway) operate(t *testing.T, path string) {
	t.Helper()
	var said json.RawMessage
	if err := exchangeJSON("http://"+g.admin+path, claims{}, &said); err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	g.secrets.Watch("the admin API's "+path, string(said))
}

func TestChangingOneEnvironmentLeavesTheOther(t *testing.T) {
	first, second := startTwoSites(t)
	i := first.issuer
	both := external(t, i, "first", "second")
	session := first.session(t, both)
	user := first.userOf(t, both)
	spent := post(export).bearer(session).assertion(permission(t, i, "first"))
	unspent := post(export).bearer(session).elevated(first.proof(t, session, permission(t, i, "first")))
	first.send(t, spent).mustPass(t)
	second.send(t, get(home).bearer(both)).mustPass(t)

	for _, c := range []struct {
		line   string
		status int
		code   string
	}{
		{"enabled off", 403, "external_auth_disabled"},
		{"algorithms RS256", 401, "algorithm_not_allowed"},
	} {
		first.change(t, second, c.line)
		second.send(t, get(home).bearer(both)).mustRefuse(t, c.status, c.code)
		if first.userOf(t, both) != user || first.userOf(t, session) != user {
			t.Errorf("%s: in the other environment the user is another one", c.line)
		}
		first.send(t, spent).mustRefuse(t, 401, "replayed")
	}
	first.send(t, unspent).mustPass(t)
	first.change(t, second, "")
	second.send(t, get(home).bearer(both)).mustPass(t)
}

// What would let the tokens of one serve for another is refused before anything starts.
func TestSharedIssuersThatAreRefused(t *testing.T) {
	const keys = "https://login.example.test/jwks"
	environment := func(name, issuer, keys, lines string) string {
		return fmt.Sprintf("environment %s {\nissuer %s\njwks_url %s\naudience %s\n%s\n}\n", name, issuer, keys, audienceName, lines)
	}
	assertions := func(audience string) string { return "assertion {\naudience " + audience + "\n}" }
	first := environment("first", issuerName, keys, assertions("first"))
	second := func(issuer, keys, lines string) string { return first + environment("second", issuer, keys, lines) }
	discovering := func(issuer, lines string) string {
		return "environment second {\n" + trust(issuer, "discovery on") + "\n" + lines + "\n}\n"
	}
	alone := func(further string) string { return environment("first", issuerName, keys, further) }

	for _, c := range []struct{ name, bad, good, says string }{
		{
			"one issuer, and one assertion for both", second(issuerName, keys, assertions("first")), second(issuerName, keys, assertions("second")),
			"environments first and second: assertion audience: must differ",
		},
		{
			"one issuer, and assertions for nobody", second(issuerName, keys, ""), second(issuerName, keys, assertions("second")),
			"environments first and second: assertion audience: missing",
		},
		{
			"one issuer that moved its keys", second(issuerName, keys+"2", ""), second(otherIssuer, keys+"2", ""),
			"environments first and second: assertion audience: missing; both trust one issuer",
		},
		{
			"one JWKS", second(otherIssuer, keys, ""), second(otherIssuer, keys+"2", ""),
			"environments first and second: assertion audience: missing; both trust one JWKS",
		},
		{
			"one JWKS, written otherwise", second(otherIssuer, "HTTPS://LOGIN.example.test:443/jwks", ""), second(otherIssuer, "https://login.example.test:444/jwks", ""),
			"both trust one JWKS",
		},
		{
			"the JWKS of a further provider", alone(also(otherIssuer, "jwks_url "+keys+"2")) + environment("second", "https://login.third.test", keys+"2", ""),
			alone(also(otherIssuer, "jwks_url "+keys+"2")) + environment("second", "https://login.third.test", keys+"3", ""),
			"both trust one JWKS",
		},
		{
			"two providers with one issuer", alone(also(issuerName, "jwks_url "+keys+"2")), alone(also(otherIssuer, "jwks_url "+keys+"2")),
			"two providers have this issuer",
		},
		{
			"a JWKS that only discovery will tell", first + discovering(otherIssuer, ""), first + discovering(otherIssuer, assertions("second")),
			"environments first and second: assertion audience: missing",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, err := validate(t, c.good); err != nil {
				t.Errorf("the control is refused: %v\n%s", err, out)
			}
			if out, err := validate(t, c.bad); err == nil || !strings.Contains(out, c.says) {
				t.Errorf("got %v, want an error that says %q; it said:\n%s", err, c.says, out)
			}
		})
	}
}

// validate runs `caddy validate` on a config with these environments.
func validate(t *testing.T, environments string) (said string, err error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte("{\nbyoa {\n"+environments+"\n}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(dir, "validate", "--config", file, "--adapter", "caddyfile").CombinedOutput()
	return string(out), err
}
