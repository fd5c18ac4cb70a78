package caddymodule_test

import (
	"os"
	"strings"
	"testing"
)

// Other gateways held a token against fewer rules where it came by another way, or came again after it, or
// one like it, had been remembered (GHSA-qvp4-rpmr-xwrr, CVE-2021-32701). Here every token that the verifier
// refuses is refused with the same words by each way, before anything good was seen, and once more
// when the token that it differs from in one thing is known to be remembered.
func TestHostileTokenIsRefusedByEveryWay(t *testing.T) {
	g := startVectors(t)
	if len(g.bad) < 290 || len(g.good) < 35 {
		t.Fatalf("%d refused vectors and %d controls: some are missing", len(g.bad), len(g.good))
	}
	signIn, stepUp := g.kinds(g.bad)
	g.refuseAll(t, "cold, signing in", signIn)
	g.refuseAll(t, "cold, stepping up", stepUp)
	g.rememberControls()
	g.overEveryWay(t, "controls", g.good, accepted)
	g.refuseAll(t, "after its control", g.bad)
	g.overEveryWay(t, "controls that end", g.good, ended)
	g.wantInNoLog()
}

// kinds are the vectors that sign in, and those that are assertions.
func (g *vectorGateway) kinds(all []*presented) (signIn, stepUp []*presented) {
	for _, p := range all {
		if p.subject == "" {
			signIn = append(signIn, p)
		} else {
			stepUp = append(stepUp, p)
		}
	}
	return signIn, stepUp
}

// refuseAll wants each of the vectors refused by all of its ways, and seen by nobody behind the gateway.
func (g *vectorGateway) refuseAll(t *testing.T, when string, vectors []*presented) {
	before := g.upstream.count()
	g.overEveryWay(t, when, vectors, refusedAs)
	if n := g.upstream.count() - before; n != 0 {
		t.Errorf("%s: %d refused requests reached the upstream", when, n)
	}
}

// rememberControls presents each control that signs in, and each token with which assertions come, until
// all of them are answered from memory: nothing else is asked meanwhile, so the counter speaks of them alone.
func (g *vectorGateway) rememberControls() {
	g.t.Helper()
	signIn, stepUp := g.kinds(g.good)
	for _, p := range stepUp {
		signIn = append(signIn, &presented{Vector: p.Vector, at: p.at, token: p.at.sessions[p.subject]})
	}
	header := tokenWays[0]
	const hits = `caddy_byoa_cache_requests_total{cache="tokens",result="hit"}`
	pollUntil(g.t, "all controls are remembered", func() bool {
		before := g.scrape(g.admin)[hits]
		for _, p := range signIn {
			token := g.tokenOf(p)
			g.wantVerdict(g.t, header, p, token, accepted(header, p, token))
		}
		return g.scrape(g.admin)[hits]-before == float64(len(signIn))
	})
}

// wantInNoLog wants no part of a token that was presented in the log.
func (g *vectorGateway) wantInNoLog() {
	g.t.Helper()
	log, err := os.ReadFile(g.logFile)
	if err != nil {
		g.t.Fatal(err)
	}
	const enough = 24 // letters, to be no accident
	prefix := func(part []byte) int { return int(part[0])<<16 | int(part[1])<<8 | int(part[2]) }
	parts, begin := map[string]bool{}, make([]bool, 1<<24)
	for _, token := range g.sent {
		for i, segment := range strings.Split(token, ".") {
			if i > 0 && len(segment) >= enough {
				part := segment[len(segment)-enough:]
				parts[part], begin[prefix([]byte(part))] = true, true
			}
		}
	}
	for ; len(log) >= enough; log = log[1:] {
		if begin[prefix(log)] && parts[string(log[:enough])] {
			g.t.Fatalf("the log shows a part of a token: …%s…", log[:8])
		}
	}
}
