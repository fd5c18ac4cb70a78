package caddymodule_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	plainEnvironment = `environment {
			{{environment}}
		}`
	plainSite = `byoa_api
	byoa
	step_up {
		GET  /wallets/{id}        -
		POST /wallets/{id}/export wallet:export
		POST /wallets/{id}/sign   wallet:sign
		/open/{rest...}           -
		/closed                   deny
	}
	reverse_proxy {{upstream}}`
)

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(token, "Bearer "), ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want a compact JWS", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestUpstreamGetsTheSessionInsteadOfTheExternalJWT(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	external := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: external}, 200, "")
	got := g.upstream.last(t).Header.Get("Authorization")
	if strings.Contains(got, external) {
		t.Fatal("the external JWT reached the upstream")
	}
	claims := claimsOf(t, got)
	if claims["token_use"] != "session" || claims["external_user_id"] != "alice" || claims["environment_id"] != environmentID {
		t.Errorf("injected %v", claims)
	}
	// A session token is as good as the JWT it came from.
	g.want(request{path: "/wallets/1", bearer: strings.TrimPrefix(got, "Bearer ")}, 200, "")
}

func TestRefusalsBeforeTheUpstream(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	good := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: good}, 200, "")
	before := g.upstream.count()
	for _, c := range []struct {
		name      string
		r         request
		status    int
		code      string
		challenge string
	}{
		{"no token", request{path: "/wallets/1"}, 401, "token_missing", `Bearer realm="byoa"`},
		{"garbage", request{path: "/wallets/1", bearer: "x"}, 401, "token_malformed", `Bearer realm="byoa", error="invalid_token"`},
		{"a basic login", request{path: "/wallets/1", header: http.Header{"Authorization": {"Basic eDp5"}}}, 401, "token_missing", `Bearer realm="byoa"`},
		{"two credentials", request{path: "/wallets/1", header: http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}}, 400, "bad_request", ""},
		{"no elevated token", request{method: "POST", path: "/wallets/1/export", bearer: good}, 403, "step_up_required", `Bearer realm="byoa", error="insufficient_scope", scope="wallet:export"`},
		{"a route for nobody", request{path: "/closed", bearer: good}, 403, "route_denied", `Bearer realm="byoa", error="insufficient_scope"`},
		{"a route nobody thought of", request{path: "/unlisted", bearer: good}, 403, "route_denied", `Bearer realm="byoa", error="insufficient_scope"`},
		{"another method", request{method: "DELETE", path: "/wallets/1", bearer: good}, 403, "route_denied", `Bearer realm="byoa", error="insufficient_scope"`},
		{"an ambiguous path", request{path: "/wallets/..%2fclosed", bearer: good}, 400, "ambiguous_path", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := g.want(c.r, c.status, c.code)
			if challenge := got.header.Get("WWW-Authenticate"); challenge != c.challenge {
				t.Errorf("challenge %q, want %q", challenge, c.challenge)
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", got.header)
			}
		})
	}
	if n := g.upstream.count() - before; n != 0 {
		t.Errorf("%d refused requests reached the upstream", n)
	}
}

func TestStepUpByElevatedTokenAndByAssertion(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	for name, r := range map[string]request{
		"elevated":  {method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")},
		"assertion": {method: "POST", path: "/wallets/1/export", bearer: session, assertion: g.assertion("alice", "wallet:export")},
	} {
		t.Run(name, func(t *testing.T) {
			g.want(r, 200, "")
			seen := g.upstream.last(t)
			claims := claimsOf(t, seen.Header.Get("Authorization"))
			if claims["token_use"] != "elevated" || claims["scope"] != "wallet:export" || claims["singleUse"] != true {
				t.Errorf("injected %v", claims)
			}
			for _, proof := range []string{"X-Dyn-Elevated-Access-Token", "X-Step-Up-Assertion"} {
				if seen.Header.Get(proof) != "" {
					t.Errorf("%s reached the upstream", proof)
				}
			}
			again := g.do(r)
			if again.status != 403 && again.status != 401 || again.code != map[string]string{"elevated": "elevated_used", "assertion": "replayed"}[name] {
				t.Errorf("the second use: %d %s", again.status, again.code)
			}
		})
	}
}

func TestOfSixtyFourRacersOneReachesTheUpstream(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	r := request{method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}
	before := g.upstream.count()
	var ok atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if g.do(r).status == 200 {
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 1 || g.upstream.count()-before != 1 {
		t.Errorf("%d answered 200, %d reached the upstream; want 1 and 1", ok.Load(), g.upstream.count()-before)
	}
}

func TestSeveralStepUpsOnOneRequest(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa
	step_up /both/* one
	step_up * two
	reverse_proxy {{upstream}}`)
	session := g.signIn("alice")
	g.want(request{path: "/both/x", bearer: session, elevated: g.elevate(session, "alice", "one two")}, 200, "")
	g.want(request{path: "/both/x", bearer: session, elevated: g.elevate(session, "alice", "one")}, 403, "step_up_required")
	g.want(request{path: "/other", bearer: session, elevated: g.elevate(session, "alice", "two")}, 200, "")
}

func TestStepUpWithoutAGateRefusesEverything(t *testing.T) {
	g := start(t, plainEnvironment, `step_up admin
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/", bearer: g.external("alice"), assertion: g.assertion("alice", "admin")}, 500, "internal_error")
	if g.upstream.count() != 0 {
		t.Error("it reached the upstream")
	}
}

func TestReportOnlyRefusesNothingAndStillSpends(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa
	step_up /new/* wallet:export {
		report_only
	}
	step_up /old/* wallet:export
	reverse_proxy {{upstream}}`)
	session := g.signIn("alice")
	g.want(request{path: "/new/x", bearer: session}, 200, "")
	elevated := g.elevate(session, "alice", "wallet:export")
	g.want(request{path: "/new/x", bearer: session, elevated: elevated}, 200, "")
	g.want(request{path: "/old/x", bearer: session, elevated: elevated}, 403, "elevated_used")
}

func TestReauthentication(t *testing.T) {
	g := start(t, plainEnvironment, `byoa
	step_up admin {
		max_age 5m
		acr mfa
	}
	reverse_proxy {{upstream}}`)
	now := time.Now().Unix()
	fresh := g.external("alice", map[string]any{"auth_time": now, "acr": "mfa"})
	old := g.external("alice", map[string]any{"auth_time": now - 400, "acr": "mfa"})
	g.want(request{path: "/", bearer: fresh, assertion: g.assertion("alice", "admin")}, 200, "")
	assertion := g.assertion("alice", "admin")
	got := g.want(request{path: "/", bearer: old, assertion: assertion}, 401, "reauthentication_required")
	if want := `Bearer realm="byoa", error="insufficient_user_authentication", acr_values="mfa", max_age="300"`; got.header.Get("WWW-Authenticate") != want {
		t.Errorf("challenge %q, want %q", got.header.Get("WWW-Authenticate"), want)
	}
	g.want(request{path: "/", bearer: fresh, assertion: assertion}, 200, "") // what was refused had spent nothing
}
