package caddymodule_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
)

// What the gateway that people had in Caddy before does, measured with Caddy 2.11.9 on loopback: it takes
// a token without an end, refuses one whose issuer's clock is five seconds ahead, refuses the
// first request after a rotation, fetches the keys once for each made-up kid, leaks goroutines
// with every reload, throws everybody out who comes after a reload while the issuer is down,
// and does not say on a 401 what it wants. A line each, and each with its control.
func TestFloorOfTheIncumbent(t *testing.T) {
	for name, line := range map[string]func(t *testing.T){
		"a token for ever":                          floorNoExpiry,
		"a clock that is ahead":                     floorClockAhead,
		"the first request after a rotation":        floorRotation,
		"500 made-up kids at once":                  floorMadeUpKids,
		"30 reloads":                                floorReloads,
		"a reload while the issuer is down":         floorOutage,
		"a 401 that says what is wanted (RFC 6750)": floorChallenge,
	} {
		t.Run(name, line)
	}
}

func floorNoExpiry(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice", map[string]any{"exp": nil})}, 401, "expiry_missing")
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
}

// floorClockAhead has a control that is further ahead than leeway forgives, by more than a slow
// machine takes to say so.
func floorClockAhead(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	issued := func(ahead time.Duration) request {
		return request{path: "/wallets/1", bearer: g.external("alice", map[string]any{"iat": time.Now().Add(ahead).Unix()})}
	}
	g.want(issued(5*time.Second), 200, "")
	g.want(issued(5*time.Minute), 401, "not_yet_valid")
}

func floorRotation(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	old := request{path: "/wallets/1", bearer: g.external("alice")}
	g.want(old, 200, "")
	g.issuer.Rotate()
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	if got := g.issuer.Fetches(); got != 2 {
		t.Errorf("%d fetches, want 2: one at the start, and one for the new key", got)
	}
	g.want(old, 401, "key_not_found")
}

// floorMadeUpKids has two controls: a token with a kid that is published passes meanwhile, and the
// first that is made up does have the keys fetched, so that fetches are seen.
func floorMadeUpKids(t *testing.T) {
	const strangers, pause = 500, 10 * time.Second
	g := start(t, plainEnvironment, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	if got := g.issuer.Fetches(); got != 1 {
		t.Fatalf("%d fetches before anybody has made up a kid, want 1", got)
	}
	bearers := make([]string, strangers)
	for i := range bearers {
		bearers[i] = g.stranger(fmt.Sprint("random-", i))
	}
	good := request{path: "/wallets/1", bearer: g.external("bob")}
	codes := make(chan string, strangers)
	begun := time.Now()
	var sending sync.WaitGroup
	for _, token := range bearers {
		sending.Go(func() { codes <- g.codeOf(token) })
	}
	g.want(good, 200, "")
	sending.Wait()
	took := time.Since(begun)
	close(codes)
	most := 2 + int(took/pause)
	for code := range codes {
		switch {
		case code == "key_not_found":
		case code == "keys_unavailable" && took >= fetchTimeout: // this machine is too slow to say more
			most = 2 + int(took/pause) + int(took/fetchTimeout)
		default:
			t.Fatalf("a made-up kid: %s, want key_not_found", code)
		}
	}
	got := g.issuer.Fetches()
	t.Logf("%d requests with made-up kids, in %s: %d fetches", strangers, took.Round(time.Millisecond), got-1)
	if got < 2 || got > most {
		t.Errorf("%d fetches, want 2 to %d: one at the start, and one in %s", got, most, pause)
	}
}

// floorReloads counts with the module and without it, in one process and in the same way.
func floorReloads(t *testing.T) {
	without := prepare(t)
	without.edit = func(config map[string]any) { delete(config["apps"].(map[string]any), "byoa") }
	control := without.grownBy30Reloads("reverse_proxy {{upstream}}")
	grown := prepare(t).grownBy30Reloads(plainSite)
	t.Logf("goroutines over 30 reloads: %d more without the module, %d more with it", control, grown)
	if grown > control {
		t.Errorf("30 reloads leave %d goroutines behind, and %d without the module: want no more", grown, control)
	}
}

// grownBy30Reloads says how many goroutines there are more after 30 reloads with a request each than
// after the first config. What others leave behind that end meanwhile is not held against them.
func (g *running) grownBy30Reloads(site string) int {
	g.t.Helper()
	g.upstream.closeConnections()
	round := func(n int) {
		g.load(plainEnvironment, fmt.Sprintf("%s\n\theader X-Config %d", site, n))
		g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	}
	round(0)
	nothing := map[string][]string{}
	onceSettled(g.t, func() int { return moreGoroutines(nothing) })
	before := goroutines()
	for n := range 30 {
		round(n + 1)
	}
	return onceSettled(g.t, func() int { return moreGoroutines(before) })
}

// moreGoroutines counts those that were not there before, function by function that starts them.
func moreGoroutines(before map[string][]string) int {
	more := 0
	for by, stacks := range goroutines() {
		more += max(0, len(stacks)-len(before[by]))
	}
	return more
}

// onceSettled is the count once what is on its way out has gone: it has not sunk for two seconds then.
func onceSettled(t *testing.T, count func() int) int {
	t.Helper()
	low, since := count(), time.Now()
	pollUntil(t, "nothing ends any more", func() bool {
		if n := count(); n < low {
			low, since = n, time.Now()
		}
		return low == 0 || time.Since(since) > 2*time.Second && caddymodule.Lingering() == 0
	})
	return low
}

// floorOutage has two controls: where the issuer is up all are let in, and where no key was
// ever known it is no verdict about the token, but 503.
func floorOutage(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	g.issuer.Fail(true)
	g.load(plainEnvironment, plainSite+"\n\theader X-Config two")
	for _, user := range []string{"alice", "bob"} {
		got := g.want(request{path: "/wallets/1", bearer: g.external(user)}, 200, "")
		if got.header.Get("X-Config") != "two" {
			t.Error("the new config does not run")
		}
	}

	unknown := g.keysBy("jwks_url " + g.issuer.JWKSURL() + "?other")
	g.load(unknown, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 503, "keys_unavailable").mustSayWhenToRetry(t)
	g.issuer.Fail(false)
	g.load(g.keysBy("jwks_url "+g.issuer.JWKSURL()+"?third"), plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
}

// floorChallenge has an answer without a challenge for its control: that of a token which is good.
func floorChallenge(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	for bearer, want := range map[string]string{
		"":                   `Bearer realm="byoa"`,
		"not.a.token":        `Bearer realm="byoa", error="invalid_token"`,
		g.stranger("random"): `Bearer realm="byoa", error="invalid_token"`,
		g.external("alice", map[string]any{"exp": 1}): `Bearer realm="byoa", error="invalid_token"`,
	} {
		got := g.do(request{path: "/wallets/1", bearer: bearer})
		if got.status != 401 || strings.Join(got.header["Www-Authenticate"], "; ") != want {
			t.Errorf("%s: %d with %q, want 401 with %q", got.code, got.status, got.header["Www-Authenticate"], want)
		}
	}
	if got := g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, ""); got.header.Get("WWW-Authenticate") != "" {
		t.Errorf("a good token is asked for another: %q", got.header.Get("WWW-Authenticate"))
	}
}
