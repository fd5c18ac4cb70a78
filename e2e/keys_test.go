package e2e_test

import (
	"strconv"
	"sync"
	"testing"
)

func TestNewKeyServesAtOnceAndOldOneNoLonger(t *testing.T) {
	g := startGateway(t, config{})
	before := g.issuer.token(t, nil)
	g.send(t, get(home).bearer(before)).mustPass(t)
	g.issuer.rotate(t)
	g.send(t, get(home).bearer(g.issuer.token(t, nil))).mustPass(t)
	g.send(t, get(home).bearer(before)).mustRefuse(t, 401, "key_not_found")
}

// Whoever sends names of keys that nobody has must not make the gateway hammer the login system.
func TestUnknownKeysCauseOneFetch(t *testing.T) {
	g := startGateway(t, config{})
	known := g.issuer.token(t, nil)
	g.send(t, get(home).bearer(known)).mustPass(t)
	var unknown []request
	for n := range 50 {
		header := claims{"kid": "unknown-" + strconv.Itoa(n)}
		unknown = append(unknown, get(home).bearer(g.issuer.sign(t, signing{Stray: true, Header: header, Payload: tokenClaims(nil)})))
	}
	fetched := g.issuer.fetches(t)
	var done sync.WaitGroup
	for _, r := range unknown {
		done.Go(func() {
			if a, err := g.try(r); err != nil || a.text("code") != "key_not_found" {
				t.Errorf("got %v, %v, want key_not_found", a, err)
			}
		})
	}
	done.Wait()
	if got := g.issuer.fetches(t) - fetched; got > 1 {
		t.Errorf("%d unknown keys caused %d fetches, want at most 1", len(unknown), got)
	}
	g.send(t, get(home).bearer(known)).mustPass(t)
}

func TestWithoutKeysNothingPassesAndNothingBreaks(t *testing.T) {
	i := startIssuer(t, newSecrets())
	i.breakDown(t)
	g := startGatewayFor(t, i, config{})
	external := i.token(t, nil)
	a := g.send(t, get(home).bearer(external)).mustRefuse(t, 503, "keys_unavailable")
	if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After is %q, want seconds", a.header.Get("Retry-After"))
	}
	g.send(t, get(home)).mustRefuse(t, 401, "token_missing")
	g.stop(t)
	i.recover(t)
	g.start(t)
	g.send(t, get(home).bearer(external)).mustPass(t)
}

func TestRestartDuringAnOutageOfTheLoginSystem(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	g.send(t, get(home).bearer(external)).mustPass(t)
	g.issuer.breakDown(t)
	g.stop(t)
	g.start(t)
	g.send(t, get(home).bearer(external)).mustPass(t)
	g.send(t, get(home).bearer(g.issuer.token(t, nil))).mustPass(t)
	g.send(t, get(home).bearer(tampered(external))).mustRefuse(t, 401, "signature_invalid")
}

// Tokens that were minted before a restart are still ours after it.
func TestSigningKeysSurviveARestart(t *testing.T) {
	g := startGateway(t, config{})
	session := g.signIn(t, g.issuer.token(t, nil))
	g.kill(t)
	g.start(t)
	g.send(t, get(home).bearer(session)).mustPass(t)
	g.issuer.verify(t, session, g.jwksURL(), claims{"audience": environmentID})
}
