package e2e_test

import (
	"sync"
	"testing"
)

// racers is how many clients present the same proof at the same moment.
const racers = 64

// race sends one request from many connections at once and returns what each got.
func (g *gateway) race(t *testing.T, r request) []*answer {
	t.Helper()
	answers := make([]*answer, racers)
	var ready, done sync.WaitGroup
	ready.Add(racers)
	for n := range racers {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			a, err := g.try(r)
			if err != nil {
				t.Errorf("racer %d: %v", n, err)
				return
			}
			answers[n] = a
		})
	}
	done.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return answers
}

// mustHaveOneWinner fails the test unless exactly one request passed and the others got status and code.
func mustHaveOneWinner(t *testing.T, answers []*answer, status int, code string) {
	t.Helper()
	winners := 0
	for _, a := range answers {
		if a.status < 300 {
			winners++
			continue
		}
		if a.status != status || (a.text("code") != code && a.text("reason") != code) {
			t.Errorf("a loser got %v, want %d %s", a, status, code)
		}
		if a.upstream != nil {
			t.Errorf("a loser reached the upstream")
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d racers won, want 1", winners, len(answers))
	}
}

func TestOneOfManyRacersWins(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	session := g.signIn(t, external)
	const scope = "wallet:export"

	t.Run("with an elevated token", func(t *testing.T) {
		r := post(export).bearer(session).elevated(g.elevate(t, session, scope))
		before := len(g.upstream.all())
		mustHaveOneWinner(t, g.race(t, r), 403, "elevated_used")
		if got := len(g.upstream.all()) - before; got != 1 {
			t.Errorf("the upstream was reached %d times, want once", got)
		}
	})
	t.Run("with an assertion, inline", func(t *testing.T) {
		r := post(export).bearer(external).assertion(g.issuer.assertion(t, scope, nil))
		before := len(g.upstream.all())
		mustHaveOneWinner(t, g.race(t, r), 401, "replayed")
		if got := len(g.upstream.all()) - before; got != 1 {
			t.Errorf("the upstream was reached %d times, want once", got)
		}
	})
	t.Run("with an assertion, at the endpoint", func(t *testing.T) {
		mustHaveOneWinner(t, g.race(t, verifyRequest(session, g.issuer.assertion(t, scope, nil))), 422, "replayed")
	})
}

func TestAssertionServesOnceWhicheverWay(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	one, two := g.issuer.assertion(t, "wallet:export", nil), g.issuer.assertion(t, "wallet:export", nil)

	g.redeem(t, external, one)
	g.send(t, post(export).bearer(external).assertion(one)).mustRefuse(t, 401, "replayed")

	g.send(t, post(export).bearer(external).assertion(two)).mustPass(t)
	g.send(t, verifyRequest(external, two)).mustNotServe(t, "replayed")
}

// What the upstream gets for an inline assertion has been used up on the way.
func TestInjectedTokenOpensNothingHere(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	assertion := g.issuer.assertion(t, "wallet:export", nil)
	injected := g.send(t, post(export).bearer(external).assertion(assertion)).mustPass(t).upstream.bearer(t)
	g.send(t, post(export).bearer(external).elevated(injected)).mustRefuse(t, 403, "elevated_used")
}

func TestUsedStaysUsedAfterRestart(t *testing.T) {
	for name, end := range map[string]func(*gateway, testing.TB){
		"in order":      (*gateway).stop,
		"power failure": (*gateway).kill,
	} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, config{})
			external := g.issuer.token(t, nil)
			session := g.signIn(t, external)
			used, kept := g.elevate(t, session, "wallet:export"), g.elevate(t, session, "wallet:export")
			inline := g.issuer.assertion(t, "wallet:export", nil)
			exchanged := g.issuer.assertion(t, "wallet:export", nil)
			fresh := g.issuer.assertion(t, "wallet:export", nil)
			to := post(export).bearer(session)
			g.redeem(t, session, exchanged)
			g.send(t, to.assertion(inline)).mustPass(t)
			g.send(t, to.elevated(used)).mustPass(t)

			end(g, t)
			g.start(t)

			g.send(t, to.elevated(used)).mustRefuse(t, 403, "elevated_used")
			g.send(t, to.assertion(inline)).mustRefuse(t, 401, "replayed")
			g.send(t, to.assertion(exchanged)).mustRefuse(t, 401, "replayed")
			g.send(t, to.elevated(kept)).mustPass(t)
			g.send(t, to.assertion(fresh)).mustPass(t)
		})
	}
}
