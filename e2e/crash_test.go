package e2e_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// proofHeader tells the upstream which proof a request came with.
const proofHeader = "X-Test-Proof"

// A proof is good for one request.
type proof struct {
	name string
	request
	status int // of every further request
	code   string

	sent    bool
	outcome *answer // nil: whoever sent it never saw the answer
	token   string  // what it was exchanged for, if anything
}

// proofs makes n assertions to send with the request, n to exchange, and n elevated tokens.
func (g *gateway) proofs(t *testing.T, session, name string, n int) (all []*proof) {
	t.Helper()
	const scope = "wallet:export"
	for i := range n {
		inline := post(export).bearer(session).assertion(g.issuer.assertion(t, scope, nil))
		exchange := verifyRequest(session, g.issuer.assertion(t, scope, nil))
		elevated := post(export).bearer(session).elevated(g.elevate(t, session, scope))
		for _, p := range []*proof{
			{name: "an assertion", request: inline, status: 401, code: "replayed"},
			{name: "an assertion to be exchanged", request: exchange, status: 422, code: "replayed"},
			{name: "an elevated token", request: elevated, status: 403, code: "elevated_used"},
		} {
			p.name = fmt.Sprint(p.name, ", ", name, " ", i)
			p.request = p.header(proofHeader, p.name)
			all = append(all, p)
		}
	}
	return all
}

// reached is how often the upstream was reached by requests with a proof.
func (g *gateway) reached(p *proof) (n int) {
	for _, s := range g.upstream.all() {
		if s.header.Get(proofHeader) == p.name {
			n++
		}
	}
	return n
}

// mustRefuse fails the test if a proof serves, or the upstream gets to see it.
func (p *proof) mustRefuse(t *testing.T, g *gateway) {
	t.Helper()
	before := g.reached(p)
	a := g.send(t, p.request)
	if a.status != p.status || a.text("code") != p.code && a.text("reason") != p.code {
		t.Errorf("%s, once more: got %v, want %d %s", p.name, a, p.status, p.code)
	}
	if n := g.reached(p); n != before {
		t.Errorf("%s: the upstream was reached %d times", p.name, n)
	}
}

// burst has many clients send proofs at once until the gateway is killed in the middle of it, after
// some of the answers.
func (g *gateway) burst(t *testing.T, proofs []*proof, answers int64) {
	t.Helper()
	const clients = 16
	queue := make(chan *proof, len(proofs))
	for _, p := range proofs {
		queue <- p
	}
	close(queue)
	var answered atomic.Int64
	var killed atomic.Bool
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			for p := range queue {
				if killed.Load() {
					return
				}
				p.sent = true
				a, err := g.try(p.request)
				if err != nil {
					if !killed.Load() {
						t.Errorf("%s: %v", p.name, err)
					}
					return
				}
				p.outcome, p.token = a, a.text("elevatedAccessToken")
				if answered.Add(1) == answers {
					killed.Store(true)
					_ = g.process.cmd.Process.Kill()
				}
			}
		})
	}
	done.Wait()
	<-g.process.ended
}

// A gateway is killed while its users are at it, again and again. A proof that was answered is used
// up, whatever became of the process a moment later. One that nobody used is good
// still: its user would have to sign in once more, and for nothing. And of one whose answer
// was never seen nobody can say what it is, but that it serves once at most.
func TestGatewayKilledInABurstForgetsNoProofAndLosesNone(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	session := g.signIn(t, external)
	fates := make(map[string]int)
	var earlier []*proof
	for round, answers := range []int64{1, 17, 33, 50} {
		used := g.proofs(t, session, fmt.Sprint("sent in round ", round), 24)
		kept := g.proofs(t, session, fmt.Sprint("kept in round ", round), 3)
		g.burst(t, used, answers)
		g.start(t)
		for _, p := range append(used, kept...) {
			fates[p.settle(t, g, session)]++
		}
		for _, p := range earlier {
			p.mustRefuse(t, g)
		}
		earlier = append(earlier, kept[:3]...)
		earlier = append(earlier, used[:6]...)
	}
	for _, fate := range []string{"answered", "without an answer", "never used"} {
		if fates[fate] == 0 {
			t.Errorf("no proof was %s: got %v", fate, fates)
		}
	}
	t.Logf("%v", fates)
}

// settle finds out what became of a proof, and uses it up if it was not.
func (p *proof) settle(t *testing.T, g *gateway, session string) (fate string) {
	t.Helper()
	if p.outcome != nil {
		if p.outcome.status != 200 {
			t.Errorf("%s: got %v, want 200", p.name, p.outcome)
		}
		p.mustRefuse(t, g)
		if p.token != "" {
			g.send(t, post(export).bearer(session).elevated(p.token)).mustPass(t)
			g.send(t, post(export).bearer(session).elevated(p.token)).mustRefuse(t, 403, "elevated_used")
		}
		return "answered"
	}
	before := g.reached(p)
	a := g.send(t, p.request)
	switch {
	case a.status == 200 && before > 0:
		t.Errorf("%s has been to the upstream, and serves once more", p.name)
	case a.status != 200 && !p.sent:
		t.Errorf("%s was never used, and got %v", p.name, a)
	case a.status != 200 && (a.status != p.status || a.text("code") != p.code && a.text("reason") != p.code):
		t.Errorf("%s: got %v, want 200 or %d %s", p.name, a, p.status, p.code)
	}
	p.mustRefuse(t, g)
	if p.sent {
		return "without an answer"
	}
	return "never used"
}
